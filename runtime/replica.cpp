#include "runtime/replica.h"

#include <algorithm>

#include "runtime/distributed/shared.h"
#include "runtime/distributed/statistics.h"
#include "runtime/train/initialise.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

// Beside the plan an arena serves small things that the plan does not know: lists of the agreement, sums of metrics.
constexpr size_t small_things = size_t{32} << 20;
constexpr double usable = 0.97;  // of what a device calls free: libraries load more code later

}  // namespace

size_t room_for_a_plan(size_t free, double share) {
  const auto all = static_cast<size_t>(static_cast<double>(free) * usable * share);
  return all - std::min(small_things, all);
}

Replica::Replica(ReplicaParts parts, const MakeTask& make_task, const std::vector<FieldSpec>& fields,
                 const ReplicaConfig& config)
    : parts_(std::move(parts)), config_(config) {
  Device& device = *parts_.device;
  device.make_current();
  if (config.dtype == DType::f64 && device.kind() != DeviceKind::cpu) {
    fail(ErrorKind::usage, "{}: float64 is computed on the CPU only", device.text());
  }
  const Stream compute = device.make_stream();
  recorder_ = std::make_unique<Recorder>(device, compute);
  parts_.gradients = recorder_->in_place(parts_.gradients);
  task_ = make_task(store_);
  const Engines engines = make_engines(device, compute);
  MemoryPlanner planner(*task_, store_, device, fields, config.dtype, config.optimizer, config.reducer, gradients(),
                        engines);
  plan_ = planner.plan_within(config.micro_batch, room_for_a_plan(device.memory().free, config.memory_share));

  state_ = device.allocate(sizeof(StepState));
  const StepState state{.seed = config.seed};
  write_to_device(device, compute, state_.get(), &state, sizeof state);
  context_ = std::make_unique<Context>(compute, make_arena(), engines.matmul, engines.convolution, this->state(),
                                       config.dtype);
  context_->tape.set_activity(parts_.activity);

  store_.allocate(*context_->arena, config.dtype, plan_.order,
                  [&](void* memory, size_t bytes) { device.zero(compute, memory, bytes); });
  if (device.kind() == DeviceKind::cuda) warm_up(fields);
  if (rank() == 0) initialise(store_, device, compute, config.seed);
  // All have their memory and their algorithms: what a library takes of either while a collective waits can hang all.
  if (size() > 1) host().barrier("before values are shared");
  broadcast_values(gradients(), *context_, store_, 0);
  reducer_ = std::make_unique<GradientReducer>(store_, gradients(), config.reducer);
  reducer_->attach(context_->tape, compute);
  optimizer_ = std::make_unique<Optimizer>(store_, *context_, device, config.optimizer,
                                           OptimizerShards{reducer_.get(), &gradients()});
  inputs_ = std::make_unique<Inputs>(*context_, device, fields, config.micro_batch);
}

void Replica::warm_up(const std::vector<FieldSpec>& fields) {
  Context& context = *context_;
  Batch batch = batch_in_arena(context, fields, config_.micro_batch);
  for (const Batch::Field& field : batch.fields) zero(device(), context.stream, field.value);
  batch.samples.assign(batch.samples.size(), -1);  // padding: nobody is told of them
  UnsummedStatistics statistics(size());
  context.statistics = &statistics;
  for (const bool adds : {false, true}) {
    if (adds && !config_.accumulates) continue;
    context.restart_random_places();
    context.tape.begin(store_, adds);
    const Variable loss = task_->loss(context, batch);
    context.tape.backward(loss, [&](const Tensor& d_loss, bool) { zero(device(), context.stream, d_loss); });
  }
  context.tape.set_recording(false);
  context.training = false;
  context.restart_random_places();
  MetricSums sums;
  task_->validate(context, batch, sums);
  context.tape.set_recording(true);
  context.training = true;
  context.restart_random_places();
  context.statistics = nullptr;
  device().synchronize(context.stream);
}

std::shared_ptr<Arena> Replica::make_arena() const {
  const size_t bytes = plan_.extent + small_things;
  // Host memory is committed when it is touched: room to spare costs nothing.
  if (device().kind() == DeviceKind::cpu) return Arena::on_host(2 * bytes);
  const std::shared_ptr<void> memory = device().allocate(bytes);
  return Arena::over(memory.get(), bytes, memory);
}

}  // namespace bev
