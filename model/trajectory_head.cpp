#include "model/trajectory_head.h"

#include "runtime/ops/activation.h"
#include "runtime/ops/residual.h"

namespace bev {

TrajectoryHead::TrajectoryHead(ParameterStore& store, const PolicyConfig& config)
    : ln_f(store, "model.trajectory_head.ln_f", config.width),
      refine_gru(store, "model.trajectory_head.refine_gru", config.width, config.width),
      cond_proj(store, "model.trajectory_head.cond_proj", config.width, config.width, LinearInit::narrow_normal),
      output_head(store, "model.trajectory_head.output_head", config.width, 2, LinearInit::narrow_normal),
      horizon(config.horizon),
      dropout(config.dropout_embedding) {}

Variable TrajectoryHead::operator()(Context& context, const Variable& x, const Variable& h0) const {
  const Variable u = bev::dropout(context, ln_f(context, x), dropout);
  const Variable refined = refine_gru(context, u, h0);
  return output_head(context, add_gelu_of_last(context, u, refined, horizon));
}

}  // namespace bev
