// One optimiser step of one replica, from batches to new weights. This is the file to read to see how a step flows.
// The step is the same program every time: the host decides nothing within it and waits for nothing but the loader, so
// that a GPU always has work ahead of it, and so that it can be recorded once and repeated (step_graph.h).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/replica.h"
#include "runtime/train/batch.h"
#include "runtime/train/step_graph.h"

namespace bev {

/// What became of a step, the same on every replica but for `samples` and `bad_micro`.
struct StepOutcome {
  int64_t step = 0;                                       // counted from 0
  double loss = 0, gradient_norm = 0, learning_rate = 0;  // loss: mean over the global batch; norm: before clipping
  bool skipped = false;                                   // loss or gradient was not finite
  int64_t skipped_so_far = 0;
  std::vector<int64_t> samples = {};  // of this replica, in order
  int64_t bad_micro = -1;             // this replica's first micro-batch whose own loss is not finite; -1: none
};

/// The parts of a step, in the order in which a step with one micro-batch has them.
enum class StepPhase : uint8_t { waiting, forward, backward, reduction, optimizer };
inline constexpr size_t step_phases = 5;

class TrainingStep {
 public:
  /// All outlive the step.
  TrainingStep(Replica& replica, BatchSource& source, const Share& share);

  /// Puts step `step` on the device. On the CPU it is done on return. A witness, if any, is shown its gradients; such a
  /// step is not repeated from a recording.
  void enqueue(int64_t step, double learning_rate, ReductionWitness* witness = nullptr);
  /// Steps enqueued and not yet collected.
  int64_t in_flight() const { return static_cast<int64_t>(pending_.size()); }
  /// How many may be in flight while the next one is enqueued: the host is so much ahead.
  int64_t ahead() const { return replica_.device().kind() == DeviceKind::cuda ? 1 : 0; }
  /// The outcome of the oldest step in flight; waits for it.
  StepOutcome collect();

  /// What there is to say about graphs since the last call: once, or nothing.
  std::string take_note() { return graph_.take_note(); }

  /// Called after the work of each part has been enqueued, if set: for profiles. Steps are then not repeated from a
  /// recording, and neither are they while the context's stream carries an observer.
  void set_watch(std::function<void(StepPhase)> watch) { watch_ = std::move(watch); }

 private:
  void passed(StepPhase phase) const {
    if (watch_ && !replica_.recorder().recording()) watch_(phase);
  }
  void micro_step(int64_t step, int64_t micro, double learning_rate, std::vector<int64_t>& samples);
  /// All that a micro-step puts on the compute stream; the last one of a step ends with the optimiser.
  void compute(const MicroStep& micro_step);
  void add_gradients(const MicroStep& micro_step);
  void update_weights();
  /// Whether somebody is to be told of what happens within a step, or of each launch.
  bool watched() const {
    return watch_ || replica_.reducer().witnessed() ||
           replica_.context().stream.observer != replica_.recorder().stream().observer;
  }
  void collect_loss(const Variable& loss);
  void reduce_loss();
  void publish_loss();
  void backward(const Variable& loss);
  void write_state(const StepState& state);
  void read_back(StepOutcome outcome);

  struct Mailbox {  // pinned host memory on its way to or from the device
    std::shared_ptr<void> memory;
    std::unique_ptr<Event> passed;
  };
  struct Pending {
    StepOutcome outcome;
    size_t mailbox;
  };

  Replica& replica_;
  BatchSource& source_;
  const Share share_;
  Tensor loss_;                       // [1]: sum over micro-batches, then over replicas
  std::array<Mailbox, 4> outgoing_;   // StepState
  std::array<Mailbox, 2> returning_;  // UpdateState
  size_t next_outgoing_ = 0, next_returning_ = 0;
  std::deque<Pending> pending_;
  std::function<void(StepPhase)> watch_;
  StepGraph graph_;
};

}  // namespace bev
