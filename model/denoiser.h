// The denoiser: from a noisy future trajectory, the diffusion time, the observed states and the condition encoder's
// memory to a prediction of the noise (or of what else the model is trained to predict).
#pragma once

#include <span>
#include <vector>

#include "model/decoder.h"
#include "model/modulation.h"
#include "model/trajectory_head.h"
#include "model/trajectory_tokens.h"

namespace bev {

struct Denoiser {
  ModulationVector modulation;
  TrajectoryTokens tokens;
  Decoder decoder;
  TrajectoryHead head;

  /// Declares all `model.*` parameters but those of `model.encoder_block`.
  Denoiser(ParameterStore& store, const PolicyConfig& config)
      : modulation(store, config), tokens(store, config), decoder(store, config), head(store, config) {}

  /// noisy [B, H, 2], times i64 [B] in device memory, states [B, To, D], memory [B, M, E], the token sets that the
  /// decoder attends to (empty where the model has none); returns [B, H, 2]. `decoded` receives the last decoder
  /// layer's output, [B, To + H, E].
  Variable operator()(Context& context, const Variable& noisy, const Tensor& times, const Tensor& states,
                      const Variable& memory, const ManyKeys& keys, Variable* decoded = nullptr) const;

  /// What of sampling does not depend on the trajectory: everything that only the observation and the times decide, for
  /// all times at once.
  struct Plan {
    Variable history;  // the history's tokens [B, To, E]
    Decoder::Plan decoder;
    std::vector<Variable> first_states;  // of the head, by time: [B, E]
  };
  /// `times` in the order in which step() will name them. The tape must not record, and the context not train.
  Plan plan(Context& context, std::span<const int64_t> times, const Tensor& states, const Variable& memory,
            const ManyKeys& keys) const;
  /// The prediction at the plan's k-th time for the trajectories noisy [B, H, 2]: [B, H, 2].
  Tensor step(Context& context, const Plan& plan, int64_t k, const Tensor& noisy) const;
};

}  // namespace bev
