// The policy, whole: BEV encoder, token projection, condition encoder and denoiser, with the diffusion around them. It
// denoises a future ego trajectory, conditioned on what the car observes.
#pragma once

#include <vector>

#include "model/bev_encoder.h"
#include "model/condition_encoder.h"
#include "model/denoiser.h"
#include "model/diffusion.h"
#include "model/policy_config.h"
#include "model/state_normalizer.h"

namespace bev {

/// What the car observes, for a batch of B samples, in device memory. `states` and rasters given as floats are of the
/// context's type.
struct Observation {
  Tensor states;  // [B, To, D]
  Tensor bev;     // tokens mode: [B, To, S, 512]; raster mode: [B, To, 3, Hb, Wb], u8 or normalised floats
  TokenInputs tokens;
};

/// Intermediate values, for validation and for parity cases.
struct PolicyTrace {
  Tensor prediction, target;  // [B, H, 2]
  Tensor condition;           // [B, To, 256]
  Tensor memory;              // [B, M, E]
  Tensor decoded;             // [B, To + H, E], output of the last decoder layer
};

class Policy {
 public:
  /// Declares all parameters. Throws Error(usage) on a configuration that is none.
  Policy(ParameterStore& store, const PolicyConfig& config);
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  const PolicyConfig& config() const { return config_; }
  const Diffusion& diffusion() const { return diffusion_; }

  /// Mean squared error of the prediction, [1], for trajectories `actions` [B, H, 2] in metres. `trace` may be null.
  Variable loss(Context& context, const Observation& observation, const Tensor& actions, const DiffusionDraw& draw,
                PolicyTrace* trace = nullptr) const;

  /// Runs sampling steps from noise x [B, H, 2], in place; afterwards x holds the trajectories in the model's units.
  /// The tape must not record and the context not train. What does not depend on x is computed once.
  void sample(Context& context, const Observation& observation, const std::vector<SamplerStep>& steps, const Tensor& x,
              const Diffusion::StepNoise& noise) const;

 private:
  PolicyConfig config_;
  Diffusion diffusion_;
  StateNormalizer state_normalizer_;
  BevEncoder bev_encoder_;
  ConditionEncoder condition_encoder_;
  Denoiser denoiser_;
};

}  // namespace bev
