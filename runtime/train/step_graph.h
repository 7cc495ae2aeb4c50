// When a training step is recorded, and when it is repeated instead of launched anew. The first steps are launched one
// by one: libraries choose their algorithms and load their code, and whatever memory is taken is taken. Then every
// micro-step that can occur is recorded, all of them at once and with all replicas idle, since making graphs takes
// device memory and a collective that waits for a replica in the middle of that may hang. From there on they are
// repeated.
//
// A micro-step is one of a few programs: its batch lies in one of the places of Inputs, and it may be the first or the
// last of its step or neither. All else that differs between two of them is in StepState, in device memory.
//
// Where it cannot be done, training goes on as it began, and a note says why; a device without graphs, such as the CPU,
// is not worth one. Replicas decide that together.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "runtime/recorder.h"
#include "runtime/replica.h"

namespace bev {

/// What of a micro-step is baked into its program.
struct MicroStep {
  const Batch* batch = nullptr;  // in device memory
  bool first = true, last = true;
  bool operator==(const MicroStep&) const = default;
};

class StepGraph {
 public:
  static constexpr int64_t warm_up_steps = 2;

  /// The replica outlives this.
  explicit StepGraph(Replica& replica);

  /// To be called when a step begins, with what puts a micro-step on the stream. Records, once enough steps have been
  /// done; then it is a collective. Waits for the steps in flight.
  void begin_step(int64_t accumulation, const std::function<void(const MicroStep&)>& compute);
  /// Repeats what was recorded of such a micro-step. False: nothing was, and it is to be computed.
  bool repeat(const MicroStep& micro_step);

  /// What there is to say about it since the last call, once: what was recorded, or why nothing is.
  std::string take_note() { return std::exchange(note_, {}); }

 private:
  using Key = std::tuple<const Batch*, bool, bool>;
  void record(int64_t accumulation, const std::function<void(const MicroStep&)>& compute);
  void give_up(const std::string& why);

  Replica& replica_;
  std::map<Key, Program> programs_;
  int64_t steps_ = 0;  // begun, until it is decided
  bool decided_ = false;
  size_t held_ = 0;  // bytes of the arena in use when it was recorded: programs write to those that were not
  std::string note_;
};

}  // namespace bev
