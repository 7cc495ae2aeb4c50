#include "runtime/ops/linear.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> linear_cases() {
  const auto declare = [](ParameterStore& store) {
    store.declare("weight", {5, 7}, Init::normal(1));
    store.declare("bias", {5}, Init::constant(0));
  };
  return {{.name = "linear",
           .inputs = {{2, 3, 7}},
           .declare = declare,
           .forward = [](Context& c, ParameterStore& p,
                         const auto& x) { return linear(c, x[0], *p.find("weight"), p.find("bias")); }},
          {.name = "linear, one weight used twice",
           .inputs = {{3, 7}},
           .declare =
               [](ParameterStore& store) {
                 store.declare("weight", {7, 7}, Init::normal(1));
               },
           .forward =
               [](Context& c, ParameterStore& p, const auto& x) {
                 return linear(c, linear(c, x[0], *p.find("weight"), nullptr), *p.find("weight"), nullptr);
               }}};
}

}  // namespace bev::test
