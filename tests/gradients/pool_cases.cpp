#include "runtime/ops/activation.h"
#include "runtime/ops/pool.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> pool_cases() {
  std::vector<GradientCase> cases;
  for (const Shape& shape : {Shape{2, 4, 6, 3}, Shape{2, 5, 3, 3}}) {
    cases.push_back({.name = "max-pool of " + shape.text(),
                     .inputs = {shape},
                     .forward = [](Context& c, ParameterStore&, const auto& x) { return max_pool(c, x[0]); },
                     .step = 1e-5});
    cases.push_back({.name = "average pool of " + shape.text(),
                     .inputs = {shape},
                     .forward = [](Context& c, ParameterStore&, const auto& x) { return average_pool(c, x[0]); }});
  }
  // The later use of x writes its gradient first, so the pools add to it.
  cases.push_back({.name = "pools of a variable that is used again",
                   .inputs = {{2, 4, 4, 3}},
                   .forward =
                       [](Context& c, ParameterStore&, const auto& x) {
                         const Variable most = max_pool(c, x[0]), mean = average_pool(c, x[0]);
                         const Variable again = max_pool(c, activate(c, x[0], Activation::gelu));
                         return add_dropout(c, add_dropout(c, most, mean), again);
                       },
                   .step = 1e-5});
  return cases;
}

}  // namespace bev::test
