#include "model/noise_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/error.h"

namespace bev {

namespace {

double beta(const DiffusionConfig& config, int64_t i) {
  const double last = std::max<double>(1, static_cast<double>(config.steps - 1));
  const double position = static_cast<double>(i) / last;
  switch (config.schedule) {
    case BetaSchedule::linear:
      return config.beta_start + position * (config.beta_end - config.beta_start);
    case BetaSchedule::scaled_linear: {
      const double first = std::sqrt(config.beta_start), end = std::sqrt(config.beta_end);
      const double root = first + position * (end - first);
      return root * root;
    }
    case BetaSchedule::squaredcos_cap_v2:
      break;
  }
  const auto level = [&](int64_t step) {
    const double s = static_cast<double>(step) / static_cast<double>(config.steps);
    const double cosine = std::cos((s + 0.008) / 1.008 * std::numbers::pi / 2);
    return cosine * cosine;
  };
  return std::min(1 - level(i + 1) / level(i), 0.999);
}

}  // namespace

std::vector<double> signal_levels(const DiffusionConfig& config) {
  if (config.steps < 1) {
    fail(ErrorKind::usage, "noise_scheduler.num_diffusion_steps is {}: expected at least 1", config.steps);
  }
  std::vector<double> levels(static_cast<size_t>(config.steps));
  double product = 1;
  for (int64_t i = 0; i < config.steps; ++i) {
    product *= 1 - beta(config, i);
    levels[static_cast<size_t>(i)] = product;
  }
  return levels;
}

std::vector<SamplerStep> sampler_steps(const DiffusionConfig& config, SamplerKind kind, int64_t count) {
  if (count < 1 || count > config.steps) {
    fail(ErrorKind::usage, "policy.num_inference_steps is {}: expected 1 to noise_scheduler.num_diffusion_steps ({})",
         count, config.steps);
  }
  const std::vector<double> levels = signal_levels(config);
  const int64_t spacing = config.steps / count;
  std::vector<SamplerStep> steps;
  for (int64_t k = count - 1; k >= 0; --k) {
    const int64_t time = k * spacing, before = time - spacing;
    const double level = levels[static_cast<size_t>(time)];
    const double next = before >= 0 ? levels[static_cast<size_t>(before)] : 1;
    SamplerStep step{.time = time,
                     .x0_from_x = 0,
                     .x0_from_prediction = 1,
                     .next_from_x0 = 0,
                     .next_from_x = 0,
                     .deviation = 0,
                     .clip = config.clip_sample};
    if (config.prediction == PredictionType::epsilon) {
      step.x0_from_x = 1 / std::sqrt(level);
      step.x0_from_prediction = -std::sqrt(1 - level) / std::sqrt(level);
    } else if (config.prediction == PredictionType::v_prediction) {
      step.x0_from_x = std::sqrt(level);
      step.x0_from_prediction = -std::sqrt(1 - level);
    }
    if (kind == SamplerKind::ddpm) {
      const double noise = 1 - level / next;  // beta between the two times
      step.next_from_x0 = std::sqrt(next) * noise / (1 - level);
      step.next_from_x = std::sqrt(level / next) * (1 - next) / (1 - level);
      if (time > 0) step.deviation = std::sqrt(std::max((1 - next) / (1 - level) * noise, 1e-20));
    } else {
      step.next_from_x = std::sqrt((1 - next) / (1 - level));
      step.next_from_x0 = std::sqrt(next) - step.next_from_x * std::sqrt(level);
    }
    steps.push_back(step);
  }
  return steps;
}

}  // namespace bev
