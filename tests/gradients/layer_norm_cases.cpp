#include "runtime/ops/layer_norm.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> layer_norm_cases() {
  const auto declare = [](ParameterStore& store) {
    store.declare("norm.weight", {9}, Init::constant(1));
    store.declare("norm.bias", {9}, Init::constant(0));
  };
  return {{.name = "layer norm",
           .inputs = {{4, 9}},
           .declare = declare,
           .forward = [](Context& c, ParameterStore& p,
                         const auto& x) { return layer_norm(c, x[0], *p.find("norm.weight"), *p.find("norm.bias")); }},
          {.name = "layer norm, modulated",
           .inputs = {{2, 3, 9}, {2, 9}, {2, 9}},
           .declare = declare,
           .forward = [](Context& c, ParameterStore& p, const auto& x) {
             const Modulation modulation{x[1], x[2]};
             return layer_norm(c, x[0], *p.find("norm.weight"), *p.find("norm.bias"), &modulation);
           }}};
}

}  // namespace bev::test
