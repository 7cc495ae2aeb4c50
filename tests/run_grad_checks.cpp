// run_grad_checks [NAME]: every op and layer, the tape's gradients against central differences in float64. Prints the
// worst relative error of each (of those whose name contains NAME); exits with 1 if one is above 1e-6.
#include <string_view>

#include "tests/gradients/cases.h"

int main(int argc, char** argv) {
  constexpr double tolerance = 1e-6;
  const std::string_view wanted = argc > 1 ? argv[1] : "";
  int checked = 0, failed = 0;
  for (const bev::test::GradientCase& test : bev::test::all_cases()) {
    if (test.name.find(wanted) == std::string::npos) continue;
    const bev::test::GradientResult result = bev::test::check_gradients(test);
    const bool good = result.worst_error <= tolerance;
    fmt::print("{:4} {:9.1e}  {}{}\n", good ? "ok" : "FAIL", result.worst_error, test.name,
               good ? "" : ": " + result.worst_place);
    ++checked;
    failed += !good;
  }
  fmt::print("{} passed, {} failed\n", checked - failed, failed);
  return checked == 0 || failed > 0;
}
