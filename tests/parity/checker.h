// Compares what was computed with what a parity case expects, entry by entry. How large an error may be is said
// elsewhere (limits.h, beside_rounding.h).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/parity/case.h"

namespace bev::parity {

enum class Numbers : uint8_t { f64, f32, tf32, bf16 };  // what computed

/// How far an entry of a case is from what was expected of it.
struct Found {
  double error = 0;       // relative; may be NaN
  const char* note = "";  // where there is no number to compare with
};

/// "expect.grad_norm.model.x" -> "grad"; "expect.grad_norms" -> "grad_norms".
std::string kind_of(std::string_view entry);

class Checker {
 public:
  /// In float64 the error is that of the worst element, beside the largest; in coarser numbers, in which a ReLU may
  /// flip here and there, the norm of all differences, beside that of the entry. `test` outlives this.
  Checker(const Case& test, Numbers numbers);

  /// A result under its entry's name without "expect.": "loss", "pred", "losses".
  void check(const std::string& entry, const std::vector<double>& ours);
  /// A named result of a kind ("grad", "param", "ema", "buffer", "mid"): compared whole, or by its norm and 64
  /// elements, whichever the case holds. A gradient that the case does not have is a failure: it should not exist.
  void check(const std::string& kind, const std::string& name, const std::vector<double>& ours);

  /// By entry; those that nobody computed are infinitely far off.
  std::map<std::string, Found> finish();

 private:
  const SafetensorsFile::Entry* find(const std::string& entry) const { return case_.file.find(entry); }
  void compare(const std::string& entry, std::string_view name, const std::vector<double>& ours);

  const Case& case_;
  Numbers numbers_;
  std::map<std::string, double> scale_;  // by kind: its largest magnitude
  std::map<std::string, Found> found_;
};

}  // namespace bev::parity
