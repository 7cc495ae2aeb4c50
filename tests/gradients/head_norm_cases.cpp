#include "runtime/ops/head_norm.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> head_norm_cases() {
  const auto declare = [](ParameterStore& store) { store.declare("norm.weight", {6}, Init::constant(1)); };
  return {{.name = "head norm",
           .inputs = {{2, 3, 12}},
           .declare = declare,
           .forward = [](Context& c, ParameterStore& p,
                         const auto& x) { return head_norm(c, x[0], p.find("norm.weight"), 2); }},
          {.name = "head norm, rotary",
           .inputs = {{2, 3, 12}},
           .declare = declare,
           .forward = [](Context& c, ParameterStore& p,
                         const auto& x) { return head_norm(c, x[0], p.find("norm.weight"), 2, 3); }},
          {.name = "head norm, without weight",
           .inputs = {{5, 12}},
           .forward = [](Context& c, ParameterStore&, const auto& x) { return head_norm(c, x[0], nullptr, 2); }}};
}

}  // namespace bev::test
