#include "runtime/train/training_step.h"

#include <cstring>

#include "kernels/launch.h"
#include "kernels/step_loss.h"

namespace bev {

TrainingStep::TrainingStep(Replica& replica, BatchSource& source, const Share& share)
    : replica_(replica), source_(source), share_(share), graph_(replica) {
  Device& device = replica.device();
  const auto open = [&](Mailbox& box, size_t bytes) {
    box.memory = device.allocate_staging(bytes);
    box.passed = device.make_event();
    box.passed->record(replica.context().stream);
  };
  for (Mailbox& box : outgoing_) open(box, sizeof(StepState));
  for (Mailbox& box : returning_) open(box, sizeof(UpdateState));
  loss_ = replica.context().empty({1});
}

void TrainingStep::enqueue(int64_t step, double learning_rate, ReductionWitness* witness) {
  if (replica_.activity()) replica_.activity()->set_step(step);
  graph_.begin_step(share_.accumulation, [&](const MicroStep& micro_step) { compute(micro_step); });
  replica_.reducer().set_witness(witness);  // only now: what may have been recorded is of steps without one
  StepOutcome outcome{.step = step, .learning_rate = learning_rate};
  for (int64_t micro = 0; micro < share_.accumulation; ++micro) micro_step(step, micro, learning_rate, outcome.samples);
  replica_.reducer().set_witness(nullptr);
  read_back(std::move(outcome));
}

void TrainingStep::micro_step(int64_t step, int64_t micro, double learning_rate, std::vector<int64_t>& samples) {
  replica_.inputs().before_next();
  const Batch& batch = replica_.inputs().stage(source_.next());
  samples.insert(samples.end(), batch.samples.begin(), batch.samples.end());
  write_state({.seed = replica_.config().seed,
               .step = step,
               .micro = micro,
               .sample_offset = share_.offset(micro),
               .learning_rate = learning_rate,
               .gradient_scale = 1 / static_cast<double>(share_.replicas * share_.accumulation)});
  passed(StepPhase::waiting);
  const MicroStep program{.batch = &batch, .first = micro == 0, .last = micro + 1 == share_.accumulation};
  if (watched() || !graph_.repeat(program)) compute(program);
  replica_.inputs().release();
}

void TrainingStep::compute(const MicroStep& micro_step) {
  add_gradients(micro_step);
  if (micro_step.last) update_weights();
}

void TrainingStep::add_gradients(const MicroStep& micro_step) {
  Context& context = replica_.context();
  context.training = true;
  context.tape.set_recording(true);
  context.restart_random_places();
  context.tape.begin(replica_.parameters(), !micro_step.first);
  const UnchangedWeights unchanged(*context.matmul);
  const Variable loss = replica_.task().loss(context, *micro_step.batch);
  collect_loss(loss);
  passed(StepPhase::forward);
  if (micro_step.last) {
    reduce_loss();
    replica_.reducer().begin();  // from here on gradients are summed over replicas as soon as they are complete
  }
  backward(loss);
  passed(StepPhase::backward);
  if (micro_step.last) replica_.reducer().finish();
  passed(StepPhase::reduction);
}

/// The gradients in the store are those of the mean loss over the global batch.
void TrainingStep::update_weights() {
  publish_loss();
  Optimizer& optimizer = replica_.optimizer();
  optimizer.measure();
  optimizer.decide();
  optimizer.apply();
  passed(StepPhase::optimizer);
}

void TrainingStep::collect_loss(const Variable& loss) {
  Context& context = replica_.context();
  visit_float(context.dtype, [&]<class T>(T) {
    const CollectLoss<T> kernel{.loss = loss.value().data<T>(),
                                .step = replica_.state(),
                                .sum = loss_.data<T>(),
                                .update = replica_.optimizer().update()};
    for_elements(context.stream, 1, kernel);
  });
}

void TrainingStep::reduce_loss() {
  Context& context = replica_.context();
  if (replica_.size() > 1) {
    replica_.gradients().wait_for(context.stream);
    replica_.gradients().all_reduce(loss_.raw(), 1, loss_.dtype(), "loss");
  }
}

void TrainingStep::publish_loss() {
  Context& context = replica_.context();
  visit_float(context.dtype, [&]<class T>(T) {
    const PublishLoss<T> kernel{.sum = loss_.data<T>(), .update = replica_.optimizer().update()};
    for_elements(context.stream, 1, kernel);
  });
}

void TrainingStep::backward(const Variable& loss) {
  Context& context = replica_.context();
  context.tape.backward(loss, [&](const Tensor& d_loss, bool) {
    visit_float(context.dtype, [&]<class T>(T) {
      for_elements(context.stream, 1, SeedGradient<T>{.step = replica_.state(), .d_loss = d_loss.data<T>()});
    });
  });
}

void TrainingStep::write_state(const StepState& state) {
  Mailbox& box = outgoing_[next_outgoing_];
  next_outgoing_ = (next_outgoing_ + 1) % outgoing_.size();
  box.passed->synchronize();
  std::memcpy(box.memory.get(), &state, sizeof state);
  replica_.device().copy(replica_.context().stream, replica_.state(), box.memory.get(), sizeof state);
  box.passed->record(replica_.context().stream);
}

void TrainingStep::read_back(StepOutcome outcome) {
  Mailbox& box = returning_[next_returning_];
  replica_.device().copy(replica_.context().stream, box.memory.get(), replica_.optimizer().update(),
                         sizeof(UpdateState));
  box.passed->record(replica_.context().stream);
  pending_.push_back({std::move(outcome), next_returning_});
  next_returning_ = (next_returning_ + 1) % returning_.size();
}

StepOutcome TrainingStep::collect() {
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  const Mailbox& box = returning_[pending.mailbox];
  box.passed->synchronize();
  const auto& update = *static_cast<const UpdateState*>(box.memory.get());
  pending.outcome.loss = update.loss;
  pending.outcome.gradient_norm = update.gradient_norm;
  pending.outcome.skipped = update.skip != 0;
  pending.outcome.skipped_so_far = update.skipped;
  pending.outcome.bad_micro = update.bad_micro;
  return std::move(pending.outcome);
}

}  // namespace bev
