// The fused step between two parts of a decoder layer, and the mechanism of shared Linear layers.
#include "tests/runtime/residual_norm_case.h"

#include "runtime/ops/activation.h"
#include "runtime/ops/shared_linear.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> residual_norm_cases() {
  std::vector<GradientCase> cases = {residual_norm_case(true), residual_norm_case(false)};
  cases.push_back({.name = "shared linear, three uses",
                   .inputs = {{2, 2, 3}},
                   .declare =
                       [](ParameterStore& store) {
                         store.declare("weight", {3, 3}, Init::normal(1));
                         store.declare("bias", {3}, Init::constant(0));
                       },
                   .forward =
                       [](Context& c, ParameterStore& p, const auto& x) {
                         SharedLinear layer(c, *p.find("weight"), p.find("bias"), 3, 4);
                         Variable y = x[0];
                         for (int use = 0; use < 3; ++use) {
                           y = layer(c, activate(c, y, Activation::silu, 0, layer.input()));
                         }
                         return y;
                       }});
  return cases;
}

}  // namespace bev::test
