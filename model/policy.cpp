#include "model/policy.h"

#include "runtime/ops/mean_squared_error.h"

namespace bev {

namespace {

Variable flat_states(const Tensor& states) {
  return Variable(states.view({states.dim(0) * states.dim(1), states.dim(2)}));
}

}  // namespace

Policy::Policy(ParameterStore& store, const PolicyConfig& config)
    : config_(config),
      diffusion_(store, config_),
      state_normalizer_(store, config_),
      bev_encoder_(store, config_),
      condition_encoder_(store, config_),
      denoiser_(store, config_) {}

Variable Policy::loss(Context& context, const Observation& observation, const Tensor& actions,
                      const DiffusionDraw& draw, PolicyTrace* trace) const {
  const NoisyTrajectories trajectories = diffusion_.add_noise(context, actions, draw);
  const Tensor states = state_normalizer_(context, observation.states);
  const Variable condition = bev_encoder_(context, observation.bev, flat_states(states));
  const Encoded encoded = condition_encoder_(context, condition, observation.tokens);
  Variable decoded;
  const Variable prediction = denoiser_(context, Variable(trajectories.noisy), draw.times, states, encoded.memory,
                                        encoded.tokens, trace ? &decoded : nullptr);
  if (trace) {
    *trace = {.prediction = prediction.value(),
              .target = trajectories.target,
              .condition = condition.value(),
              .memory = encoded.memory.value(),
              .decoded = decoded.value()};
  }
  return mean_squared_error(context, prediction, trajectories.target);
}

void Policy::sample(Context& context, const Observation& observation, const std::vector<SamplerStep>& steps,
                    const Tensor& x, const Diffusion::StepNoise& noise) const {
  const UnchangedWeights unchanged(*context.matmul);
  const Tensor states = state_normalizer_(context, observation.states);
  const Variable condition = bev_encoder_(context, observation.bev, flat_states(states));
  const Encoded encoded = condition_encoder_(context, condition, observation.tokens);
  std::vector<int64_t> times;
  for (const SamplerStep& step : steps) times.push_back(step.time);
  const Denoiser::Plan plan = denoiser_.plan(context, times, states, encoded.memory, encoded.tokens);
  diffusion_.sample(
      context, steps, x, [&](int64_t k, const Tensor& noisy) { return denoiser_.step(context, plan, k, noisy); },
      noise);
}

}  // namespace bev
