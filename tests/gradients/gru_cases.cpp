#include "runtime/ops/gru.h"

#include "tests/gradients/cases.h"

namespace bev::test {

namespace {

void declare(ParameterStore& store) {
  store.declare("weight_ih", {12, 3}, Init::normal(1));
  store.declare("weight_hh", {12, 4}, Init::normal(1));
  store.declare("bias_ih", {12}, Init::constant(0));
  store.declare("bias_hh", {12}, Init::constant(0));
}

GruWeights weights(ParameterStore& store) {
  return {store.find("weight_ih"), store.find("weight_hh"), store.find("bias_ih"), store.find("bias_hh")};
}

}  // namespace

std::vector<GradientCase> gru_cases() {
  std::vector<GradientCase> cases;
  for (const int64_t tokens : {1, 4}) {
    cases.push_back({.name = fmt::format("GRU, {} steps", tokens),
                     .inputs = {{2, tokens, 3}},
                     .declare = declare,
                     .forward = [](Context& c, ParameterStore& p, const auto& x) { return gru(c, x[0], weights(p)); }});
    cases.push_back(
        {.name = fmt::format("GRU, {} steps, first state given", tokens),
         .inputs = {{2, tokens, 3}, {2, 4}},
         .declare = declare,
         .forward = [](Context& c, ParameterStore& p, const auto& x) { return gru(c, x[0], weights(p), x[1]); }});
    cases.push_back(
        {.name = fmt::format("GRU, {} steps, last state alone", tokens),
         .inputs = {{2, tokens, 3}},
         .declare = declare,
         .forward = [](Context& c, ParameterStore& p, const auto& x) { return gru_last(c, x[0], weights(p)); }});
  }
  cases.push_back({.name = "GRU, last state of one starts another",
                   .inputs = {{2, 2, 3}, {2, 3, 3}, {2, 4}},
                   .declare = declare,
                   .forward = [](Context& c, ParameterStore& p, const auto& x) {
                     return gru(c, x[1], weights(p), gru_last(c, x[0], weights(p), x[2]));
                   }});
  return cases;
}

}  // namespace bev::test
