#include "runtime/ops/residual.h"

#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> residual_cases() {
  const auto gated = [](Context& c, ParameterStore&, const auto& x) { return gated_residual(c, x[0], x[1], x[2]); };
  return {
      {.name = "gated residual", .inputs = {{2, 3, 5}, {2, 5}, {2, 3, 5}}, .forward = gated},
      {.name = "gated residual, four answers to each row", .inputs = {{2, 3, 5}, {2, 5}, {2, 12, 5}}, .forward = gated},
      {.name = "gated residual, a chain with one gate",
       .inputs = {{2, 3, 5}, {2, 5}, {2, 3, 5}},
       .forward =
           [](Context& c, ParameterStore&, const auto& x) {
             const Variable y = gated_residual(c, x[0], x[1], x[2]);
             return gated_residual(c, y, x[1], y);
           }},
      {.name = "residual + gelu of the last tokens",
       .inputs = {{2, 5, 4}, {2, 5, 4}},
       .forward = [](Context& c, ParameterStore&, const auto& x) { return add_gelu_of_last(c, x[0], x[1], 2); }},
      {.name = "residual + gelu of the last tokens, one variable twice",
       .inputs = {{2, 5, 4}},
       .forward = [](Context& c, ParameterStore&, const auto& x) { return add_gelu_of_last(c, x[0], x[0], 3); }}};
}

}  // namespace bev::test
