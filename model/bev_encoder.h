// The BEV encoder: what the policy knows of the scene at one observed step, from BEV tokens and the ego's state. The
// state decides which cells to look at; what is found there and the state together make the condition.
#pragma once

#include "model/layers.h"
#include "model/policy_config.h"

namespace bev {

struct BevEncoder {
  static constexpr int64_t token_width = 512, state_width = 128, condition_width = 256;

  /// Throws Error(usage) if sides of the raster or the number of cells make no sense.
  BevEncoder(ParameterStore& store, const PolicyConfig& config);

  /// tokens [B, To, S, 512] of the context's type, F32 or BF16; state [B * To, D]. Returns the condition [B, To, 256].
  Variable operator()(Context& context, const Tensor& observation, const Variable& state) const;

 private:
  Linear measurements_0_, measurements_2_;
  Linear attention_0_, attention_2_;
  Linear join_0_, join_2_, join_4_;
  Parameter *norm_weight_, *norm_bias_;
  Parameter* resize_ = nullptr;  // where tokens and attention have grids of different size
};

}  // namespace bev
