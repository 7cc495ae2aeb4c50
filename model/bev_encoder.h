// The BEV encoder: what the policy knows of the scene at one observed step. The state decides which cells of the BEV
// grid to look at; what is found there and the state together make the condition. The cells' tokens are given, or made
// from a raster.
#pragma once

#include <memory>

#include "model/backbone.h"
#include "model/layers.h"
#include "model/policy_config.h"

namespace bev {

/// Makes BEV tokens from a raster: backbone, projection, position map, and the connector to the tokens' width.
struct RasterTokens {
  Backbone backbone;
  Parameter *projection, *projection_bias;  // a 1x1 convolution
  Parameter* position;                      // [cells, features], constant
  Linear connector_1, connector_2;
  bool frozen;

  RasterTokens(ParameterStore& store, const PolicyConfig& config);
  /// raster [n, 3, Hb, Wb], U8 or already normalised; returns [n, cells, 512].
  Variable operator()(Context& context, const Tensor& raster) const;
};

struct BevEncoder {
  static constexpr int64_t token_width = 512, state_width = 128, condition_width = 256;

  /// Throws Error(usage) if sides of the raster or the number of cells make no sense.
  BevEncoder(ParameterStore& store, const PolicyConfig& config);

  /// What is observed: in tokens mode tokens [B, To, S, 512] of the context's type, F32 or BF16; in raster mode rasters
  /// [B, To, 3, Hb, Wb], U8, or normalised in the context's type or F32. state [B * To, D]. Returns the condition
  /// [B, To, 256].
  Variable operator()(Context& context, const Tensor& observation, const Variable& state) const;

 private:
  std::unique_ptr<RasterTokens> raster_;  // in raster mode
  Linear measurements_0_, measurements_2_;
  Linear attention_0_, attention_2_;
  Linear join_0_, join_2_, join_4_;
  Parameter *norm_weight_, *norm_bias_;
  Parameter* resize_ = nullptr;  // where tokens and attention have grids of different size
  Shape observed_;               // of one observed step
};

}  // namespace bev
