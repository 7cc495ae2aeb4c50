// What modulates the decoder (adaptive layer norm, Peebles and Xie 2023, section 3.2): one vector c a sample, from the
// diffusion time, the state of now and the states before it; and the nine vectors that a decoder layer makes of it.
#pragma once

#include <string>

#include "model/gru.h"
#include "model/layers.h"
#include "model/policy_config.h"
#include "runtime/ops/embedding.h"

namespace bev {

/// c = time(t) + ego_status_proj(state of now) + history_encoder(states). Parameters `model.ego_status_proj.*`,
/// `model.history_encoder.{gru, out_proj}.*`.
struct ModulationVector {
  Linear ego_status_proj;
  Gru history_gru;
  Linear history_out_proj;

  ModulationVector(ParameterStore& store, const PolicyConfig& config);

  /// What of c does not depend on the time: states [B, To, D]; returns [B, E].
  Variable of_states(Context& context, const Tensor& states) const;
  /// times i64 [B] in device memory; returns c [B, E].
  Variable operator()(Context& context, const Tensor& states, const Tensor& times) const {
    return add_time_embedding(context, of_states(context, states), times);
  }
};

/// Of one part of a decoder layer: shift and scale of what it sees, and the gate of what it adds; [samples, E] each.
struct PartModulation {
  Modulation norm = {};
  Variable gate = {};
};

/// The nine vectors of a decoder layer. Those of the memory are undefined in a model without token sets, where the
/// memory is not refined.
struct LayerModulation {
  PartModulation memory = {}, trajectory = {}, feed_forward = {};
};

/// Parameters NAME.adaLN_modulation.1.{weight, bias}: [9E, E] and [9E], zero at first, so that every gate starts
/// closed.
struct AdaptiveModulation {
  Linear linear;

  /// `with_memory`: whether the first three vectors are used; their rows have a gradient of zero otherwise.
  AdaptiveModulation(ParameterStore& store, const std::string& name, int64_t width, bool with_memory);

  /// `activated`: SiLU(c) [samples, E].
  LayerModulation operator()(Context& context, const Variable& activated) const;

 private:
  bool with_memory_;
  Parameter *weight_, *bias_;  // the rows of `linear` that are used
};

}  // namespace bev
