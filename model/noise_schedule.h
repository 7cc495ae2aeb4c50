// The noise of diffusion, as tables in double: how much of the signal is left at each time, and the coefficients of the
// sampling steps. Nothing here runs on a device.
#pragma once

#include <cstdint>
#include <vector>

#include "model/policy_config.h"

namespace bev {

/// abar_t = prod_{i <= t} (1 - beta_i), t = 0 .. steps - 1 (Ho et al. 2020, eq. 4). squaredcos_cap_v2 is the schedule
/// of Nichol and Dhariwal 2021, eq. 17, with beta capped at 0.999. Throws Error(usage) if there is no step.
std::vector<double> signal_levels(const DiffusionConfig& config);

enum class SamplerKind : uint8_t { ddpm, ddim };

/// One step of sampling at `time`, as linear combinations (x: the noisy trajectory, p: the network's prediction):
///     x0 = x0_from_x * x + x0_from_prediction * p,   clamped to [-1, 1] if the configuration says so
///     x <- next_from_x0 * x0 + next_from_x * x + deviation * noise
struct SamplerStep {
  int64_t time;
  double x0_from_x, x0_from_prediction;
  double next_from_x0, next_from_x, deviation;
  bool clip;
};

/// The `count` steps in the order in which they run, times k * floor(steps / count) from high to low ("leading"
/// spacing). ddpm: ancestral steps with the smaller of the two variances (Ho et al. 2020, section 3.2); ddim: without
/// noise (Song et al. 2021, eq. 12 with sigma 0). Throws Error(usage) unless 1 <= count <= steps.
std::vector<SamplerStep> sampler_steps(const DiffusionConfig& config, SamplerKind kind, int64_t count);

}  // namespace bev
