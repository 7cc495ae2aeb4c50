// Compares what was computed with what a parity case expects, entry by entry.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/parity/case.h"

namespace bev::parity {

enum class Numbers : uint8_t { f64, f32, tf32, bf16 };  // what computed

class Checker {
 public:
  Checker(const Case& test, Numbers numbers, bool verbose);

  /// A result under its entry's name without "expect.": "loss", "pred", "losses".
  void check(const std::string& entry, const std::vector<double>& ours);
  /// A named result of a kind ("grad", "param", "ema", "buffer", "mid"): compared whole, or by its norm and 64
  /// elements, whichever the case holds. A gradient that the case does not have is a failure: it should not exist.
  void check(const std::string& kind, const std::string& name, const std::vector<double>& ours);
  /// Counts entries that nobody computed as failures, prints the worst of each kind and returns whether all is well.
  bool finish();

 private:
  const SafetensorsFile::Entry* find(const std::string& entry);
  void compare(const std::string& entry, std::string_view name, const std::vector<double>& ours);
  double limit(std::string_view kind) const;
  void report(const std::string& entry, double error, const char* what);

  const Case& case_;
  Numbers numbers_;
  bool verbose_;
  std::map<std::string, double> scale_;  // by kind: its largest magnitude
  std::map<std::string, bool> seen_;     // by entry
  struct Worst {
    double error = -1;
    std::string entry;
  };
  std::map<std::string, Worst> worst_;  // by kind
  int compared_ = 0, failed_ = 0;
};

}  // namespace bev::parity
