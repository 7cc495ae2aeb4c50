#include "runtime/ops/cell_attention.h"
#include "tests/gradients/cases.h"
#include "tests/support/numbers.h"

namespace bev::test {

std::vector<GradientCase> cell_attention_cases() {
  return {{.name = "cell attention, tokens with gradient, more cells than are summed at once",
           .inputs = {{2, 11}, {2, 11, 5}, {2, 3}},
           .forward = [](Context& c, ParameterStore&,
                         const auto& x) { return attend_to_cells(c, x[0], nullptr, x[1], x[2]); }},
          {.name = "cell attention, resized",
           .inputs = {{3, 6}, {3, 4, 5}, {3, 2}},
           .declare =
               [](ParameterStore& store) {
                 store.declare_table("resize", std::vector<double>(4 * 6, 0.0));  // filled by the check
               },
           .forward = [](Context& c, ParameterStore& p,
                         const auto& x) { return attend_to_cells(c, x[0], p.find("resize"), x[1], x[2]); }},
          {.name = "cell attention, constant tokens",
           .inputs = {{2, 4}, {2, 3}},
           .forward = [](Context& c, ParameterStore&, const auto& x) {
             const Tensor tokens = constant(c, {2, 4, 5}, [](int64_t i) { return 0.1 * static_cast<double>(i % 7); });
             return attend_to_cells(c, x[0], nullptr, Variable(tokens), x[1]);
           }}};
}

}  // namespace bev::test
