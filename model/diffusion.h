// Diffusion around a denoiser: drawing times and noise for training, the noisy input and its target, the sampling loop.
#pragma once

#include <functional>

#include "kernels/diffusion.h"
#include "model/noise_schedule.h"
#include "model/policy_config.h"
#include "runtime/context.h"

namespace bev {

/// What is drawn for one training micro-batch, in device memory.
struct DiffusionDraw {
  Tensor times;  // i64 [B]
  Tensor noise;  // [B, H, 2]
};

struct NoisyTrajectories {
  Tensor noisy, target;  // [B, H, 2], the model's units
};

class Diffusion {
 public:
  /// Declares the schedule's tables, which are not part of checkpoints.
  Diffusion(ParameterStore& store, const PolicyConfig& config);

  /// Times and noise of the micro-batch's samples; a function of the run's seed, the step and the sample's place in the
  /// global batch.
  DiffusionDraw draw(Context& context, int64_t samples) const;
  /// The network's input and what it is to predict. `actions` [B, H, 2] in metres.
  NoisyTrajectories add_noise(Context& context, const Tensor& actions, const DiffusionDraw& draw) const;

  /// The same for validation, from (seed, sample number) alone; `samples` i64 [B] in device memory.
  DiffusionDraw draw_for(Context& context, const Tensor& samples, uint64_t seed) const;
  /// Noise of one sampling step for every sample, [B, H, 2]: from (seed, sample number) alone. `samples` i64 [B] in
  /// device memory; step 0 is the initial noise.
  Tensor sample_noise(Context& context, const Tensor& samples, uint64_t seed, int64_t step) const;

  /// The network at step `k` (an index into the steps) for the noisy trajectories x [B, H, 2].
  using Predict = std::function<Tensor(int64_t k, const Tensor& x)>;
  /// Fresh noise for the `n`-th step that adds some, n = 0, 1, ...
  using StepNoise = std::function<Tensor(int64_t n)>;
  /// Runs all steps in place on x [B, H, 2], which holds the initial noise.
  void sample(Context& context, const std::vector<SamplerStep>& steps, const Tensor& x, const Predict& predict,
              const StepNoise& noise) const;
  /// Trajectories in metres, [B, H, 2].
  Tensor metres(Context& context, const Tensor& x) const;

 private:
  void draw_by_number(Context& context, const Tensor& samples, uint64_t seed, uint32_t place, int64_t step,
                      const DiffusionDraw& draw) const;

  const PolicyConfig& config_;
  ActionRange range_;
  Parameter *signal_, *spread_;  // [steps]: sqrt(abar), sqrt(1 - abar)
};

}  // namespace bev
