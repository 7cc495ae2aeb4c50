#include "runtime/ops/group_norm.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> group_norm_cases() {
  return {
      {.name = "group norm",
       .inputs = {{5, 12}},
       .declare =
           [](ParameterStore& store) {
             store.declare("norm.weight", {12}, Init::constant(1));
             store.declare("norm.bias", {12}, Init::constant(0));
           },
       .forward = [](Context& c, ParameterStore& p,
                     const auto& x) { return group_norm(c, x[0], *p.find("norm.weight"), *p.find("norm.bias"), 3); }}};
}

}  // namespace bev::test
