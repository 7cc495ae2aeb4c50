// The decoder's tokens: the observed states and the noisy future waypoints, embedded, history first.
#pragma once

#include "model/layers.h"
#include "model/policy_config.h"

namespace bev {

/// Parameters `model.{hist_feature_emb, hist_pos_emb, hist_segment_emb, input_emb, pos_emb, fut_segment_emb,
/// pre_decoder_norm}`.
struct TrajectoryTokens {
  Linear hist_feature_emb, input_emb;
  Parameter *hist_pos_emb, *hist_segment_emb, *pos_emb, *fut_segment_emb;
  LayerNorm pre_decoder_norm;  // of both parts
  double dropout;

  TrajectoryTokens(ParameterStore& store, const PolicyConfig& config);

  /// states [B, To, D], noisy [B, H, 2]; returns [B, To + H, E].
  Variable operator()(Context& context, const Tensor& states, const Variable& noisy) const;

  /// The two parts on their own, for sampling (no dropout): [B, To, E] and [B, H, E]; and one behind the other.
  Variable history(Context& context, const Tensor& states) const;
  Variable future(Context& context, const Variable& noisy) const;
  static Variable joined(Context& context, const Variable& history, const Variable& future);
};

}  // namespace bev
