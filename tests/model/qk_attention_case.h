// QK-norm attention as a gradient case, in any of its forms: 2 samples, 2 heads of 4, two sets of 4 and 3 tokens; then
// a second attention of the same queries over the second set alone, so that both add to that set's gradients.
#pragma once

#include <memory>
#include <optional>

#include "model/qk_attention.h"
#include "runtime/ops/tokens.h"
#include "tests/support/gradient_check.h"
#include "tests/support/numbers.h"

namespace bev::test {

struct QkAttentionOptions {
  AttentionForm form = AttentionForm::plain;
  double dropout = 0;
  int64_t masks = 1;
  bool shared_query = false, masked_keys = false, rotary = false;
};

inline const char* name_of(AttentionForm form) {
  switch (form) {
    case AttentionForm::automatic:
      return "automatic";
    case AttentionForm::absorbed:
      return "absorbed";
    case AttentionForm::values_projected:
      return "values projected";
    case AttentionForm::projected:
      return "projected";
    case AttentionForm::plain:
      return "plain";
  }
  return "?";
}

inline std::string text_of(const QkAttentionOptions& o) {
  return fmt::format("QK-norm attention, {}, dropout {} by {} masks{}{}{}", name_of(o.form), o.dropout, o.masks,
                     o.shared_query ? ", shared query" : "", o.masked_keys ? ", masked keys" : "",
                     o.rotary ? ", rotary" : "");
}

inline GradientCase qk_attention_case(const QkAttentionOptions& o) {
  constexpr int64_t width = 8, heads = 2, queries = 3;
  const auto layer = std::make_shared<std::optional<QkAttention>>();
  // Rotary: the queries of two diffusion steps, as many each as there are keys.
  const Shape query{o.shared_query ? 1 : 2, o.rotary ? 14 : queries, width};
  return {.name = text_of(o),
          .inputs = {query, {2, 4, width}, {2, 3, width}},
          .declare = [=](ParameterStore& store) { layer->emplace(store, "x", width, heads, o.dropout); },
          .forward =
              [=](Context& context, ParameterStore&, const std::vector<Variable>& x) {
                ManyKeys keys(heads);
                keys.append(x[1]);
                keys.append(x[2]);
                if (o.masked_keys) {
                  std::vector<uint8_t> valid;
                  for (int i = 0; i < 14; ++i) valid.push_back(i % 3 != 1);
                  keys.set_valid(constant_bytes(context, {2, 7}, valid));
                }
                const auto attend = [&](const ManyKeys& over, const QkAttentionCall& call) {
                  const Variable y = (**layer)(context, x[0], over, call);
                  return y.view({2, y.dim(1) * y.dim(2), width});
                };
                return join_tokens(
                    context,
                    {attend(keys, {.rotary = o.rotary, .places = DropoutPlaces{3, 2, o.masks}, .form = o.form}),
                     attend(keys.only(1), {.form = o.form})});
              }};
}

}  // namespace bev::test
