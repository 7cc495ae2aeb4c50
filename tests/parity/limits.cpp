#include "tests/parity/limits.h"

namespace bev::parity {

namespace {

double limit_of(const Case& test, Numbers numbers, std::string_view kind) {
  if (numbers == Numbers::f64) return 1e-9;
  const bool raster = test.policy.mode == BevMode::raster;
  const bool direct = kind == "loss" || kind == "pred" || kind == "sample" || kind == "trajectory" || kind == "mid";
  double limit = 5e-5;
  if (raster && test.kind == CaseKind::train) {
    limit = 3e-2;  // AdamW divides rounding by its own size
  } else if (raster && !direct) {
    limit = 5e-3;  // a single ReLU on the edge flips
  }
  return limit;
}

}  // namespace

bool within_limits(const Case& test, Numbers numbers, const std::map<std::string, Found>& found, bool verbose) {
  struct Worst {
    double error = -1;
    std::string entry;
  };
  std::map<std::string, Worst> worst;  // by kind
  int out = 0;
  for (const auto& [entry, result] : found) {
    const std::string kind = kind_of(entry);
    const bool good = result.error <= limit_of(test, numbers, kind);  // false for NaN
    out += !good;
    if (verbose || !good) fmt::print("  {:4} {:9.2e}  {}{}\n", good ? "ok" : "FAIL", result.error, entry, result.note);
    Worst& of_kind = worst[kind];
    if (!(result.error <= of_kind.error)) of_kind = {result.error, entry};
  }
  for (const auto& [kind, of_kind] : worst) {
    fmt::print("  {:10} worst {:9.2e} of {:9.0e}  {}\n", kind, of_kind.error, limit_of(test, numbers, kind),
               of_kind.entry);
  }
  const bool good = out == 0 && !found.empty();
  fmt::print("{} {}: {} entries compared, {} out\n", good ? "ok  " : "FAIL", test.file.path(), found.size(), out);
  return good;
}

}  // namespace bev::parity
