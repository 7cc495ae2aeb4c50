// The head: a recurrent pass over the decoded tokens, then two coordinates for each future one.
#pragma once

#include "model/gru.h"
#include "model/layers.h"
#include "model/policy_config.h"

namespace bev {

/// Parameters `model.trajectory_head.{ln_f, refine_gru, cond_proj, output_head}.*`.
struct TrajectoryHead {
  LayerNorm ln_f;
  Gru refine_gru;
  Linear cond_proj, output_head;
  int64_t horizon;
  double dropout;

  TrajectoryHead(ParameterStore& store, const PolicyConfig& config);

  /// The recurrence's first state, of the modulation vector c [B, E]: [B, E].
  Variable first_state(Context& context, const Variable& c) const { return cond_proj(context, c); }
  /// u = dropout(LN(x)), y = output_head(u + gelu(GRU(u))), the last H tokens: x [B, To + H, E], h0 [B, E]; returns
  /// [B, H, 2].
  Variable operator()(Context& context, const Variable& x, const Variable& h0) const;
};

}  // namespace bev
