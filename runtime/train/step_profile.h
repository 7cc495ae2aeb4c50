// Where the time of training steps goes, for `bev_train --profile`: the parts of a step, and how much of the
// communication was hidden behind backward. Time is taken on the device's own stream and read when the step's outcome
// is, so that profiling waits for nothing that training does not wait for.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/replica.h"
#include "runtime/train/training_step.h"

namespace bev {

/// Seconds a step, in the mean, of one replica.
struct StepTimes {
  std::array<double, step_phases> parts = {};
  double communication = 0;  // that collectives took, from when the last replica had come
  double hidden = 0;         // of it, while compute had not come to where it needs the result

  double& of(StepPhase phase) { return parts[static_cast<size_t>(phase)]; }
  double of(StepPhase phase) const { return parts[static_cast<size_t>(phase)]; }
  /// What others may have to wait for in the reduction.
  double own() const { return of(StepPhase::waiting) + of(StepPhase::forward) + of(StepPhase::backward); }
};

struct ProfileReport {
  int64_t steps = 0;
  std::vector<StepTimes> replicas;

  size_t slowest() const;
  /// Of all replicas' communication, what was hidden; NaN where there was none, as with one replica.
  double hidden_share() const;
  /// Replica 0 and the slowest in a table, and the share, in lines.
  std::string text() const;
  nlohmann::ordered_json json() const;
};

class StepProfile {
 public:
  /// Watches the steps of a replica from here on. Both outlive the profile. Throws Error(usage) where collectives
  /// cannot be timed.
  StepProfile(Replica& replica, TrainingStep& step, int64_t accumulation);
  ~StepProfile();
  StepProfile(const StepProfile&) = delete;
  StepProfile& operator=(const StepProfile&) = delete;

  /// Right before a step is enqueued.
  void begin();
  /// Right after the outcome of the oldest step in flight was collected.
  void end();
  /// Of all steps so far but the first, which is not like the others. A collective over host memory.
  ProfileReport report() const;

 private:
  /// The parts of a step in flight, one behind another; used again when it is done.
  struct Parts {
    std::vector<std::unique_ptr<Timer>> timers;
    std::vector<StepPhase> phases;  // that the timers are of
  };

  void mark(StepPhase phase);

  Replica& replica_;
  TrainingStep& step_;
  std::deque<Parts> idle_, in_flight_;
  bool first_ = true;
  int64_t steps_ = 0;
  StepTimes sums_;
};

}  // namespace bev
