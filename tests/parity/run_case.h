// Runs one parity case: builds the policy of its configuration, fills parameters and inputs by the rule, computes,
// compares.
#pragma once

#include <string>

#include "tests/parity/checker.h"

namespace bev::parity {

struct RunOptions {
  Numbers numbers = Numbers::f64;
  std::string device = "cpu";  // or "cuda:0"
  bool plain = false;          // without the exact restructurings
  bool verbose = false;
};

/// Whether everything agrees. Prints a line a kind of entry, and every entry that is out.
bool run_case(const std::string& path, const RunOptions& options);

}  // namespace bev::parity
