#include "model/diffusion.h"

#include <cmath>

#include "kernels/launch.h"

namespace bev {

namespace {

ActionRange action_range(const PolicyConfig& config) {
  for (size_t i = 0; config.normalize_actions && i < 2; ++i) {
    if (!(config.action_max[i] > config.action_min[i])) {
      fail(ErrorKind::usage, "action_stats: the range of coordinate {} is empty, {} to {}", i, config.action_min[i],
           config.action_max[i]);
    }
  }
  return {.low = {config.action_min[0], config.action_min[1]},
          .high = {config.action_max[0], config.action_max[1]},
          .active = config.normalize_actions};
}

DiffusionTarget target_of(PredictionType prediction) {
  switch (prediction) {
    case PredictionType::sample:
      return DiffusionTarget::signal;
    case PredictionType::v_prediction:
      return DiffusionTarget::velocity;
    case PredictionType::epsilon:
      break;
  }
  return DiffusionTarget::noise;
}

// Apart from the places of training, which count from 0.
constexpr uint32_t sampling_place = 0x5a3b1e00u, validation_place = 0x5a3b1e01u;

}  // namespace

Diffusion::Diffusion(ParameterStore& store, const PolicyConfig& config)
    : config_(config), range_(action_range(config)) {
  const std::vector<double> levels = signal_levels(config.diffusion);
  std::vector<double> signal, spread;
  for (const double level : levels) {
    signal.push_back(std::sqrt(level));
    spread.push_back(std::sqrt(1 - level));
  }
  signal_ = &store.declare_table("diffusion.signal", std::move(signal));
  spread_ = &store.declare_table("diffusion.spread", std::move(spread));
}

DiffusionDraw Diffusion::draw(Context& context, int64_t samples) const {
  const DiffusionDraw draw{.times = context.empty({samples}, DType::i64),
                           .noise = context.empty({samples, config_.horizon, 2})};
  const uint32_t place = context.next_random_place();
  visit_float(context.dtype, [&]<class T>(T) {
    const DrawDiffusion<T> kernel{.state = context.state,
                                  .place = place,
                                  .values = config_.horizon * 2,
                                  .levels = config_.diffusion.steps,
                                  .times = draw.times.data<int64_t>(),
                                  .noise = draw.noise.data<T>()};
    for_elements(context.stream, draw.noise.size(), kernel);
  });
  return draw;
}

NoisyTrajectories Diffusion::add_noise(Context& context, const Tensor& actions, const DiffusionDraw& draw) const {
  const NoisyTrajectories out{.noisy = context.empty(actions.shape()), .target = context.empty(actions.shape())};
  visit_float(context.dtype, [&]<class T>(T) {
    const AddNoise<T> kernel{.actions = actions.data<T>(),
                             .noise = draw.noise.data<T>(),
                             .times = draw.times.data<int64_t>(),
                             .signal = signal_->value.data<T>(),
                             .spread = spread_->value.data<T>(),
                             .noisy = out.noisy.data<T>(),
                             .target = out.target.data<T>(),
                             .range = range_,
                             .values = config_.horizon * 2,
                             .kind = target_of(config_.diffusion.prediction)};
    for_elements(context.stream, actions.size(), kernel);
  });
  return out;
}

void Diffusion::draw_by_number(Context& context, const Tensor& samples, uint64_t seed, uint32_t place, int64_t step,
                               const DiffusionDraw& draw) const {
  visit_float(context.dtype, [&]<class T>(T) {
    const DrawSampleNoise<T> kernel{.samples = samples.data<int64_t>(),
                                    .noise = draw.noise.data<T>(),
                                    .times = draw.times.defined() ? draw.times.data<int64_t>() : nullptr,
                                    .seed = seed,
                                    .place = place,
                                    .step = static_cast<uint32_t>(step),
                                    .values = config_.horizon * 2,
                                    .levels = config_.diffusion.steps};
    for_elements(context.stream, draw.noise.size(), kernel);
  });
}

DiffusionDraw Diffusion::draw_for(Context& context, const Tensor& samples, uint64_t seed) const {
  const DiffusionDraw draw{.times = context.empty({samples.dim(0)}, DType::i64),
                           .noise = context.empty({samples.dim(0), config_.horizon, 2})};
  draw_by_number(context, samples, seed, validation_place, 0, draw);
  return draw;
}

Tensor Diffusion::sample_noise(Context& context, const Tensor& samples, uint64_t seed, int64_t step) const {
  const DiffusionDraw draw{.times = {}, .noise = context.empty({samples.dim(0), config_.horizon, 2})};
  draw_by_number(context, samples, seed, sampling_place, step, draw);
  return draw.noise;
}

void Diffusion::sample(Context& context, const std::vector<SamplerStep>& steps, const Tensor& x, const Predict& predict,
                       const StepNoise& noise) const {
  int64_t noisy_steps = 0;
  for (size_t k = 0; k < steps.size(); ++k) {
    const SamplerStep& step = steps[k];
    const Tensor prediction = predict(static_cast<int64_t>(k), x);
    const Tensor fresh = step.deviation > 0 ? noise(noisy_steps++) : Tensor();
    visit_float(context.dtype, [&]<class T>(T) {
      const SamplingStep<T> kernel{.prediction = prediction.data<T>(),
                                   .noise = fresh.defined() ? fresh.data<T>() : nullptr,
                                   .x = x.data<T>(),
                                   .x0_from_x = static_cast<T>(step.x0_from_x),
                                   .x0_from_prediction = static_cast<T>(step.x0_from_prediction),
                                   .next_from_x0 = static_cast<T>(step.next_from_x0),
                                   .next_from_x = static_cast<T>(step.next_from_x),
                                   .deviation = static_cast<T>(step.deviation),
                                   .clip = step.clip};
      for_elements(context.stream, x.size(), kernel);
    });
  }
}

Tensor Diffusion::metres(Context& context, const Tensor& x) const {
  const Tensor out = context.empty(x.shape());
  visit_float(context.dtype, [&]<class T>(T) {
    const ToMetres<T> kernel{.x = x.data<T>(), .metres = out.data<T>(), .range = range_};
    for_elements(context.stream, x.size(), kernel);
  });
  return out;
}

}  // namespace bev
