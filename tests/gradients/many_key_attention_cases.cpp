// The ops that the forms of attention over many keys are put together from, one by one. 2 samples, 2 heads of 3.
#include "runtime/ops/many_key_attention.h"

#include "tests/gradients/cases.h"
#include "tests/support/numbers.h"

namespace bev::test {

namespace {

/// Weights and their sums as one variable, so that a case covers the gradients of both.
Variable through_values(Context& c, ParameterStore& p, const DroppedProbabilities& probabilities,
                        const std::vector<Variable>& sets) {
  return weigh_values(c, probabilities.weights, sets, {p.find("bias"), probabilities.sums});
}

GradientCase probabilities(const char* name, bool absorbed, bool shared, double p, int64_t masks, bool masked) {
  const Shape query = absorbed ? Shape{shared ? 1 : 2, 3, 2, 6} : Shape{shared ? 1 : 2, 3, 6};
  return {.name = fmt::format("attention probabilities, {}{}, dropout {} by {} masks{}", name,
                              shared ? ", shared queries" : "", p, masks, masked ? ", masked keys" : ""),
          .inputs = {query, {2, 4, 6}, {2, 5, 6}},
          .declare = [](ParameterStore& store) { store.declare("bias", {6}, Init::constant(0)); },
          .forward =
              [=](Context& c, ParameterStore& store, const auto& x) {
                KeyMask mask;
                if (masked) {
                  std::vector<uint8_t> valid;
                  for (int i = 0; i < 20; ++i) valid.push_back(i % 3 == 0);
                  mask = {constant_bytes(c, {2, 10}, valid), 1, 10};  // the first column belongs to nobody here
                }
                const std::vector<Variable> sets = {x[1], x[2]};
                return through_values(c, store, attention_probabilities(c, x[0], sets, 2, 0.7, mask, {p, masks, 5, 2}),
                                      sets);
              }};
}

}  // namespace

std::vector<GradientCase> many_key_attention_cases() {
  std::vector<GradientCase> cases;
  for (const bool absorbed : {true, false}) {
    const char* name = absorbed ? "absorbed" : "by head";
    for (const bool shared : {false, true}) {
      cases.push_back(probabilities(name, absorbed, shared, 0, 3, shared));
      cases.push_back(probabilities(name, absorbed, shared, 0.3, 1, !shared));
      cases.push_back(probabilities(name, absorbed, shared, 0.3, 3, shared));
    }
  }
  for (const bool sums : {false, true}) {
    std::vector<Shape> inputs = {{2, 3, 2, 2, 9}, {2, 4, 6}, {2, 5, 6}};
    if (sums) inputs.push_back({2, 3, 2, 2});
    const auto declare = [](ParameterStore& store) {
      store.declare("weight", {6, 6}, Init::normal(1));
      store.declare("bias", {6}, Init::constant(0));
    };
    const auto bias = [sums](ParameterStore& store, const auto& x) {
      return ValueBias{store.find("bias"), sums ? x[3] : Variable()};
    };
    const char* with = sums ? "with row sums" : "without row sums";
    cases.push_back({.name = fmt::format("weighted values, {}", with),
                     .inputs = inputs,
                     .declare = [](ParameterStore& store) { store.declare("bias", {6}, Init::constant(0)); },
                     .forward =
                         [=](Context& c, ParameterStore& p, const auto& x) {
                           return weigh_values(c, x[0], {x[1], x[2]}, bias(p, x));
                         }});
    cases.push_back({.name = fmt::format("weighted tokens, projected by heads, {}", with),
                     .inputs = inputs,
                     .declare = declare,
                     .forward = [=](Context& c, ParameterStore& p, const auto& x) {
                       const Variable weighed = weigh_whole_tokens(c, x[0], {x[1], x[2]});
                       return project_heads(c, weighed, *p.find("weight"), bias(p, x));
                     }});
  }
  for (const int64_t samples : {1, 3}) {
    cases.push_back({.name = fmt::format("absorbed keys, {} samples", samples),
                     .inputs = {{samples, 2, 6}},
                     .declare =
                         [](ParameterStore& store) {
                           store.declare("keys", {6, 6}, Init::normal(1));
                           store.declare("norm.weight", {3}, Init::constant(1));
                         },
                     .forward =
                         [](Context& c, ParameterStore& p, const auto& x) {
                           return absorb_keys(c, x[0], *p.find("keys"), *p.find("norm.weight"), 2, 0.6);
                         }});
  }
  return cases;
}

}  // namespace bev::test
