// How far from the original a result in bf16 or TF32 may be: not a number, but what the rounding of factors makes of it
// on its own. A case is computed twice, by the engines of the device and by float products of factors that were rounded
// beforehand (tests/support/rounded_engines.h); the errors of the second say what those of the first may be.
//
// The two round alike and add in another order, which parts them within a few layers: where a sum lies on the edge
// between two bf16 numbers they take different ones. From there on their errors are two draws from one distribution,
// and a ReLU flips in one that does not in the other. So one entry's error may be far from the other's, but not those
// of many entries. How far, seven draws said, four of the one and three of the other with all values moved by 1e-6 (42
// ordered pairs of 3,838 entries). The limits lie between that and what faults do, which parity_bf16_* tests:
//
//                                                          draws          limit          cut off, not rounded
//   error beside that of rounding, middle of all entries   0.93 .. 1.08   0.80 .. 1.25   2.7
//   entries of a kind above 3 times it, gradients          2 %            5 %            most
//   the same, weights after AdamW                          7 %            10 %
//   an entry beside what is typical of its kind            4.5            6              up to 6.7
//
// Of the 209 products of tokens_small.safetensors, left out one at a time, 200 are noticed.
//
// Factors in TF32 are rounded to the nearest by some kernels and cut off by others, which nobody documents, and which
// is several times worse: errors all point one way. So a GPU's case is computed by both, and may be anything between:
// limits are beside the larger, and that anything is rounded at all is seen beside the smaller. A CPU at tf32 does not
// round so: it loses less, and is held to no more than TF32 loses.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/parity/checker.h"

namespace bev::parity {

/// What the rounding of factors makes of a case: the same twice where it is known how they are rounded. `least` is
/// empty where the device may be closer.
struct ByRounding {
  std::map<std::string, Found> least, most;  // by entry
};

class BesideRounding {
 public:
  /// Whether every entry of a case is no further off than `rounded` says. Prints a line a kind, and every entry that
  /// is out.
  bool judge(const Case& test, const std::map<std::string, Found>& found, const ByRounding& rounded, bool verbose);

  /// Whether over all cases the errors are those of rounding, where there are enough of them to say. If they are larger
  /// more than the factors is rounded, or wrongly; if they are smaller the factors are not rounded at all.
  bool finish() const;

 private:
  std::vector<double> beside_most_, beside_least_;  // of all entries of all cases: error beside that of rounding alone
};

}  // namespace bev::parity
