#include "runtime/ops/few_key_attention.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> few_key_attention_cases() {
  std::vector<GradientCase> cases;
  for (const double dropout : {0.0, 0.3}) {
    for (const int64_t observed : {0, 2}) {
      cases.push_back(
          {.name = fmt::format("few-key attention, dropout {}, {}", dropout, observed ? "causal" : "unmasked"),
           .inputs = {{2, 5, 8}, {2, 1, 4, 8}, {2, 1, 4, 8}},
           .forward = [=](Context& c, ParameterStore&, const auto& x) {
             return few_key_attention(c, x[0], {x[1], x[2]}, 0, 2, {observed}, dropout);
           }});
    }
    cases.push_back({.name = fmt::format("packed self-attention, dropout {}", dropout),
                     .inputs = {{2, 3, 24}},
                     .forward = [=](Context& c, ParameterStore&, const auto& x) {
                       return packed_self_attention(c, x[0], 2, dropout);
                     }});
  }
  cases.push_back({.name = "few-key attention, keys of two layers used in turn",
                   .inputs = {{2, 3, 8}, {2, 2, 4, 8}, {2, 2, 4, 8}},
                   .forward = [](Context& c, ParameterStore&, const auto& x) {
                     const LayeredKeys keys{x[1], x[2]};
                     return few_key_attention(c, few_key_attention(c, x[0], keys, 0, 2, {}, 0.2), keys, 1, 2, {}, 0.2);
                   }});
  return cases;
}

}  // namespace bev::test
