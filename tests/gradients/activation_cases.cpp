#include "runtime/ops/activation.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> activation_cases() {
  std::vector<GradientCase> cases;
  const std::pair<Activation, const char*> functions[] = {
      {Activation::relu, "relu"}, {Activation::gelu, "gelu"}, {Activation::silu, "silu"}};
  for (const double p : {0.0, 0.3}) {
    for (const auto& [function, name] : functions) {
      cases.push_back(
          {.name = fmt::format("{}, dropout {}", name, p),
           .inputs = {{3, 5, 7}},
           .forward = [=, f = function](Context& c, ParameterStore&, const auto& x) { return activate(c, x[0], f, p); },
           .step = function == Activation::relu ? 1e-5 : 1e-3});
    }
    cases.push_back(
        {.name = fmt::format("residual + dropout {}", p),
         .inputs = {{3, 10}, {3, 10}},
         .forward = [=](Context& c, ParameterStore&, const auto& x) { return add_dropout(c, x[0], x[1], p); }});
    cases.push_back({.name = fmt::format("residual + dropout {}, one variable twice, used again", p),
                     .inputs = {{3, 10}},
                     .forward = [=](Context& c, ParameterStore&, const auto& x) {
                       const Variable y = activate(c, x[0], Activation::silu);
                       return add_dropout(c, add_dropout(c, y, y, p), y, p);
                     }});
  }
  cases.push_back({.name = "dropout, more than one piece a sample",
                   .inputs = {{2, 1500}},
                   .forward = [](Context& c, ParameterStore&, const auto& x) {
                     return activate(c, dropout(c, x[0], 0.4), Activation::gelu);
                   }});
  return cases;
}

}  // namespace bev::test
