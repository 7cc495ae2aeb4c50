// The decoder: n_layer layers over the trajectory's tokens. In MoT-DP they are one and the same layer, and then the
// modulation, the first attention's scores and the second attention's keys are the same in all of them, or differ by a
// dropout mask alone: they are computed for all layers at once, and the weights' gradients once for all layers. With
// config.plain, every layer does all of its work on its own, as the reference does. Both draw the same dropout masks.
#pragma once

#include <vector>

#include "model/decoder_layer.h"

namespace bev {

class Decoder {
 public:
  Decoder(ParameterStore& store, const PolicyConfig& config);

  /// x [B, To + H, E], memory [B, M, E], the token sets (empty where the model has none), c [B, E]; returns
  /// [B, To + H, E].
  Variable operator()(Context& context, const Variable& x, const Variable& memory, const ManyKeys& tokens,
                      const Variable& c) const;

  /// What of sampling does not depend on the trajectory, for K diffusion times at once. Values only.
  struct Plan {
    struct Layer {
      LayeredKeys keys;                    // [B, K, M, E]; [B, 1, M, E] where the times have no part in them
      std::vector<LayerModulation> steps;  // by time, [B, E] each; without those of the memory
    };
    std::vector<Layer> layers;  // one where all are the same
  };
  /// c [K, B, E].
  Plan plan(Context& context, const Variable& memory, const ManyKeys& tokens, const Variable& c) const;
  /// As operator(), at the k-th time of the plan.
  Variable operator()(Context& context, const Variable& x, const Plan& plan, int64_t k) const;

 private:
  /// What a layer needs beside x: its keys are those of `keys_of` among `keys`.
  struct LayerInputs {
    LayerModulation vectors;
    LayeredKeys keys = {};
    int64_t keys_of = 0;
  };
  const DecoderLayer& layer(int64_t i) const {
    return layers_[static_cast<size_t>(config_.share_decoder_layers ? 0 : i)];
  }
  bool merged() const { return config_.share_decoder_layers && !config_.plain; }
  int64_t tokens() const { return config_.observed + config_.horizon; }
  /// Rotary embedding in the second attention: the reference turns where queries and keys are equally many.
  int64_t positions(int64_t memory_tokens) const { return tokens() == memory_tokens ? tokens() : 0; }

  std::vector<LayerInputs> inputs(Context& context, const Variable& memory, const ManyKeys& tokens,
                                  const Variable& c) const;
  Variable run(Context& context, Variable x, const std::vector<LayerInputs>& inputs) const;

  PolicyConfig config_;
  std::vector<DecoderLayer> layers_;  // one if they are shared
};

}  // namespace bev
