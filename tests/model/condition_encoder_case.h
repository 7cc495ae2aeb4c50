// The condition encoder as a gradient case: 2 samples, 2 observed steps, width 8 in 2 heads, 2 layers, 5 VL and 3
// reasoning tokens. The output is the memory, and, as in the policy, an attention over all tokens beside it.
#pragma once

#include <memory>
#include <optional>

#include "model/condition_encoder.h"
#include "runtime/ops/tokens.h"
#include "tests/support/gradient_check.h"
#include "tests/support/numbers.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

inline PolicyConfig small_encoder() {
  PolicyConfig config;
  config.observed = 2;
  config.vl_tokens = 5;
  config.reasoning_tokens = 3;
  config.vlm_dim = 6;
  config.vl_emb_dim = 7;
  config.width = 8;
  config.heads = 2;
  config.condition_layers = 2;
  config.dropout_embedding = config.dropout_attention = 0;
  return config;
}

/// Token sets of 2 samples in the context's type. The last two reasoning rows of sample 0 and all of sample 1 are zero.
inline TokenInputs small_tokens(Context& context, const PolicyConfig& config) {
  const auto tokens = [&](int64_t count, uint32_t seed) {
    return random_numbers<double>(2 * count * config.vlm_dim, seed);
  };
  TokenInputs inputs;
  if (config.use_vl) inputs.vl = constant(context, {2, config.vl_tokens, config.vlm_dim}, tokens(config.vl_tokens, 1));
  if (config.use_reasoning) {
    std::vector<double> numbers = tokens(config.reasoning_tokens, 2);
    std::fill(numbers.begin() + config.vlm_dim, numbers.end(), 0.0);
    inputs.reasoning = constant(context, {2, config.reasoning_tokens, config.vlm_dim}, numbers);
  }
  return inputs;
}

/// u8 [2, count], from a string of 0 and 1.
inline Tensor mask_of(Context& context, int64_t count, const char* digits) {
  std::vector<uint8_t> bytes;
  for (int64_t i = 0; i < 2 * count; ++i) bytes.push_back(digits[i] == '1');
  return constant_bytes(context, {2, count}, bytes);
}

/// `with_decoder`: an attention over all tokens beside the pools, as the denoiser's. `given`: the masks that follow
/// from the zero rows, given rather than found.
inline GradientCase condition_encoder_case(const std::string& name, const PolicyConfig& config, bool with_decoder,
                                           bool given = false) {
  struct Model {
    ConditionEncoder encoder;
    QkAttention decoder;
  };
  const auto model = std::make_shared<std::optional<Model>>();
  const auto decoder_form = config.plain ? AttentionForm::plain : AttentionForm::automatic;
  return {.name = "condition encoder, " + name,
          .inputs = {{2, config.observed, ConditionEncoder::features}},
          .declare =
              [=](ParameterStore& store) {
                model->emplace(Model{ConditionEncoder(store, config),
                                     QkAttention(store, "decoder", config.width, config.heads, 0.2)});
                if (!with_decoder) {
                  for (const auto& parameter : store.all()) {
                    if (parameter->name.starts_with("decoder")) parameter->trainable = false;
                  }
                }
              },
          .forward =
              [=](Context& context, ParameterStore&, const std::vector<Variable>& x) {
                TokenInputs inputs = small_tokens(context, config);
                if (given) {
                  inputs.vl_valid = mask_of(context, 5, "1111111111");
                  inputs.reasoning_valid = mask_of(context, 3, "100000");
                }
                const Encoded encoded = (**model).encoder(context, x[0], inputs);
                if (!with_decoder) return encoded.memory;
                const Variable y = (**model).decoder(
                    context, encoded.memory, encoded.tokens,
                    {.places = DropoutPlaces{.first = 40, .stride = 1, .count = 2}, .form = decoder_form});
                return join_tokens(context, {encoded.memory, y.view({2, y.dim(1) * y.dim(2), config.width})});
              },
          .step = 2e-3};  // the norms make gradients so small that rounding shows with a smaller one
}

}  // namespace bev::test
