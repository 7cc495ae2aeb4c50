#include "model/policy_task.h"

#include "kernels/augment.h"
#include "kernels/launch.h"
#include "model/trajectory_metrics.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

Tensor noisy_states(Context& context, const Tensor& states, double deviation) {
  const Tensor out = context.empty(states.shape());
  const uint32_t place = context.next_random_place();
  visit_float(context.dtype, [&]<class T>(T) {
    const AddNormalNoise<T> kernel{.x = states.data<T>(),
                                   .y = out.data<T>(),
                                   .state = context.state,
                                   .place = place,
                                   .values = states.size() / states.dim(0),
                                   .deviation = static_cast<T>(deviation)};
    for_elements(context.stream, states.size(), kernel);
  });
  return out;
}

Tensor noisy_raster(Context& context, const Tensor& raster, double deviation) {
  const Tensor out = context.empty(raster.shape(), DType::u8);
  const uint32_t place = context.next_random_place();
  const AddRasterNoise<float> kernel{.x = raster.data<uint8_t>(),
                                     .y = out.data<uint8_t>(),
                                     .state = context.state,
                                     .place = place,
                                     .values = raster.size() / raster.dim(0),
                                     .deviation = static_cast<float>(deviation)};
  for_elements(context.stream, raster.size(), kernel);
  return out;
}

Tensor blank(Context& context, Device& device, const Tensor& like) {
  if (!like.defined()) return {};
  const Tensor out = context.empty(like.shape(), like.dtype());
  device.zero(context.stream, out.raw(), out.bytes());
  return out;
}

}  // namespace

PolicyTask::PolicyTask(ParameterStore& store, const PolicyConfig& config, Device& device,
                       const Augmentation& augmentation, const ValidationOptions& validation)
    : policy_(store, config), device_(device), augmentation_(augmentation) {
  set_validation(validation);
}

void PolicyTask::set_validation(const ValidationOptions& validation) {
  validation_ = validation;
  steps_ = sampler_steps(policy_.config().diffusion, validation.sampler, validation.inference_steps);
}

Observation PolicyTask::observe(Context& context, const Batch& batch) const {
  const PolicyConfig& config = policy_.config();
  const bool raster = config.mode == BevMode::raster;
  Observation out{
      .states = batch.at("ego_status"), .bev = batch.at(raster ? "lidar_bev" : "lidar_token"), .tokens = {}};
  if (config.use_vl) out.tokens.vl = batch.at("gen_vit_tokens");
  if (config.use_reasoning) out.tokens.reasoning = batch.at("reasoning_query_tokens");
  if (context.training) {
    if (augmentation_.state_deviation > 0) {
      out.states = noisy_states(context, out.states, augmentation_.state_deviation);
    }
    if (augmentation_.raster_deviation > 0 && raster) {
      out.bev = noisy_raster(context, out.bev, augmentation_.raster_deviation);
    }
  } else {
    if (validation_.blank_bev) out.bev = blank(context, device_, out.bev);
    if (validation_.blank_vl) {
      out.tokens.vl = blank(context, device_, out.tokens.vl);
      out.tokens.reasoning = blank(context, device_, out.tokens.reasoning);
    }
  }
  return out;
}

Variable PolicyTask::loss(Context& context, const Batch& batch) {
  const Observation observation = observe(context, batch);
  const DiffusionDraw draw = policy_.diffusion().draw(context, batch.size);
  return policy_.loss(context, observation, batch.at("agent_pos"), draw);
}

std::vector<double> PolicyTask::download(Context& context, const Tensor& tensor) const {
  const Tensor host = to_host(device_, context.stream, tensor);
  return visit_float(host.dtype(), [&]<class T>(T) {
    const T* data = host.data<T>();
    return std::vector<double>(data, data + host.size());
  });
}

Tensor PolicyTask::numbers_of(Context& context, const Batch& batch) const {
  const Tensor numbers = context.empty({batch.size}, DType::i64);
  write_to_device(device_, context.stream, numbers.raw(), batch.samples.data(), numbers.bytes());
  return numbers;
}

Tensor PolicyTask::sample(Context& context, const Observation& observation, const Tensor& numbers,
                          const std::vector<SamplerStep>& steps) const {
  const Tensor x = policy_.diffusion().sample_noise(context, numbers, validation_.seed, 0);
  policy_.sample(context, observation, steps, x, [&](int64_t n) {
    return policy_.diffusion().sample_noise(context, numbers, validation_.seed, n + 1);
  });
  return x;
}

Tensor PolicyTask::sample(Context& context, const Batch& batch, const std::vector<SamplerStep>& steps) const {
  return sample(context, observe(context, batch), numbers_of(context, batch), steps);
}

void PolicyTask::validate(Context& context, const Batch& batch, MetricSums& sums) {
  const Observation observation = observe(context, batch);
  const Tensor numbers = numbers_of(context, batch);

  // The loss of single samples, so that padding can be left out.
  const DiffusionDraw draw = policy_.diffusion().draw_for(context, numbers, validation_.seed);
  PolicyTrace trace;
  policy_.loss(context, observation, batch.at("agent_pos"), draw, &trace);
  const Tensor x = sample(context, observation, numbers, steps_);
  const Tensor metres = policy_.diffusion().metres(context, x);
  if (context.stream.kind == DeviceKind::dry) return;

  const std::vector<double> prediction = download(context, trace.prediction);
  const std::vector<double> target = download(context, trace.target);
  const std::vector<double> trajectories = download(context, metres);
  const std::vector<double> driven = download(context, batch.at("agent_pos"));
  const std::vector<double> states = download(context, batch.at("ego_status"));
  const auto values = static_cast<size_t>(policy_.config().horizon * 2);
  const auto state_values = static_cast<size_t>(policy_.config().observed * policy_.config().state_dim);
  for (size_t i = 0; i < static_cast<size_t>(batch.size); ++i) {
    if (batch.samples[i] < 0) continue;
    double squares = 0;
    for (size_t j = i * values; j < (i + 1) * values; ++j) {
      squares += (prediction[j] - target[j]) * (prediction[j] - target[j]);
    }
    sums.add("loss", squares / static_cast<double>(values), 1);
    const double speed = states[(i + 1) * state_values - static_cast<size_t>(policy_.config().state_dim)];
    add_trajectory_metrics(std::span(trajectories).subspan(i * values, values),
                           std::span(driven).subspan(i * values, values), speed, validation_.mean_trajectory, sums);
  }
  if (observer_) observer_(batch.samples, trajectories);
}

}  // namespace bev
