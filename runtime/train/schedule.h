// The learning rate as a function of the optimiser step: warm-up, then down to a floor. A step is one update of the
// weights, however many micro-batches or replicas it has.
#pragma once

#include <cstdint>
#include <string>

namespace bev {

enum class ScheduleKind : uint8_t { cosine, linear, constant };

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double peak = 5e-5, last = 1e-7;  // `last` does not matter to constant
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;  // of the whole training, warm-up included

  /// The rate of step `step`, counted from 0. It rises in equal parts to the peak, which step warmup_steps - 1 has, and
  /// falls to `last` at step total_steps - 1, where it stays.
  double at(int64_t step) const;
};

enum class RateScaling : uint8_t { none, sqrt, linear };

/// The factor for training with `replicas` replicas by a rate chosen for one: 1, its root, or their number.
double rate_factor(RateScaling scaling, int replicas);

/// One line that says what the scaling gives: "learning rate 5e-05 x 8 (linear in 8 replicas) = 4e-04".
std::string describe_rate(RateScaling scaling, int replicas, double rate);

}  // namespace bev
