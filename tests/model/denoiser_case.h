// The denoiser, and its parts, as gradient cases: 2 samples, 2 observed and 3 future steps, width 8 in 2 heads, 3
// decoder layers, 4 memory tokens, token sets of 4 and 3.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "model/denoiser.h"
#include "runtime/ops/tokens.h"
#include "tests/support/gradient_check.h"
#include "tests/support/numbers.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

inline PolicyConfig small_denoiser() {
  PolicyConfig config;
  config.observed = 2;
  config.horizon = 3;
  config.state_dim = 5;
  config.vl_tokens = 4;
  config.reasoning_tokens = 3;
  config.width = 8;
  config.heads = 2;
  config.layers = 3;
  config.dropout_embedding = config.dropout_attention = 0;
  return config;
}

inline std::string text_of(const PolicyConfig& config) {
  return fmt::format("{}, {} layers, {}, dropout {}{}{}{}", config.plain ? "plain" : "restructured",
                     config.share_decoder_layers ? "shared" : "own", config.causal ? "causal" : "unmasked",
                     config.dropout_attention, config.use_vl || config.use_reasoning ? "" : ", without token sets",
                     config.observed + config.horizon == config.memory_tokens() ? ", rotary" : "",
                     config.memory_tokens() == config.vl_tokens + config.reasoning_tokens ? ", rotary memory" : "");
}

/// [2, To, D]
inline Tensor small_states(Context& context, const PolicyConfig& config) {
  const Shape shape{2, config.observed, config.state_dim};
  return constant(context, shape, random_numbers<double>(shape.elements(), 3));
}

/// The token sets that the configuration has, from inputs [2, tokens, E].
inline ManyKeys keys_of(const PolicyConfig& config, const Variable* sets) {
  ManyKeys keys(config.heads);
  if (config.use_vl) keys.append(*sets++);
  if (config.use_reasoning) keys.append(*sets);
  return keys;
}

/// Shapes of the memory and of the token sets.
inline std::vector<Shape> memory_shapes(const PolicyConfig& config) {
  std::vector<Shape> shapes = {{2, config.memory_tokens(), config.width}};
  if (config.use_vl) shapes.push_back({2, config.vl_tokens, config.width});
  if (config.use_reasoning) shapes.push_back({2, config.reasoning_tokens, config.width});
  return shapes;
}

inline GradientCase denoiser_case(const PolicyConfig& config) {
  const auto model = std::make_shared<std::optional<Denoiser>>();
  std::vector<Shape> inputs = memory_shapes(config);
  inputs.push_back({2, config.horizon, 2});
  return {.name = "denoiser, " + text_of(config),
          .inputs = inputs,
          .declare = [=](ParameterStore& store) { model->emplace(store, config); },
          .forward =
              [=](Context& context, ParameterStore&, const std::vector<Variable>& x) {
                return (**model)(context, x.back(), constant_integers(context, {7, 61}), small_states(context, config),
                                 x[0], keys_of(config, &x[1]));
              }};
}

inline GradientCase decoder_case(const PolicyConfig& config) {
  const auto model = std::make_shared<std::optional<Decoder>>();
  std::vector<Shape> inputs = memory_shapes(config);
  inputs.push_back({2, config.observed + config.horizon, config.width});
  inputs.push_back({2, config.width});
  return {.name = "decoder, " + text_of(config),
          .inputs = inputs,
          .declare = [=](ParameterStore& store) { model->emplace(store, config); },
          .forward =
              [=](Context& context, ParameterStore&, const std::vector<Variable>& x) {
                return (**model)(context, x[x.size() - 2], x[0], keys_of(config, &x[1]), x.back());
              }};
}

}  // namespace bev::test
