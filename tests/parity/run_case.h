// Runs one parity case: builds the policy of its configuration, fills parameters and inputs by the rule, computes,
// compares.
#pragma once

#include <string>

#include "tests/parity/beside_rounding.h"
#include "tests/support/faulty_matmul.h"

namespace bev::parity {

struct RunOptions {
  Numbers numbers = Numbers::f64;
  std::string device = "cpu";  // or "cuda:0"
  bool plain = false;          // without the exact restructurings
  bool verbose = false;
  test::Fault fault = test::Fault::none;  // of products in bf16 on the CPU
};

/// Whether everything agrees. Prints a line a kind of entry, and every entry that is out. A case in bf16 or TF32 is
/// judged by `beside`, which all cases share.
bool run_case(const std::string& path, const RunOptions& options, BesideRounding& beside);

}  // namespace bev::parity
