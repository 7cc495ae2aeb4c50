#include "runtime/train/schedule.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bev {

double Schedule::at(int64_t step) const {
  if (step < warmup_steps) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  if (kind == ScheduleKind::constant) return peak;
  const int64_t way = std::max<int64_t>(1, total_steps - 1 - warmup_steps);
  const double progress = std::min(1.0, static_cast<double>(step - warmup_steps) / static_cast<double>(way));
  const double left = kind == ScheduleKind::linear ? 1 - progress : (1 + std::cos(std::numbers::pi * progress)) / 2;
  return last + (peak - last) * left;
}

double rate_factor(RateScaling scaling, int replicas) {
  switch (scaling) {
    case RateScaling::none:
      return 1;
    case RateScaling::sqrt:
      return std::sqrt(replicas);
    case RateScaling::linear:
      return replicas;
  }
  return 1;
}

std::string describe_rate(RateScaling scaling, int replicas, double rate) {
  const double factor = rate_factor(scaling, replicas);
  if (scaling == RateScaling::none) {
    return fmt::format("learning rate {:g}, not scaled with the {} replica(s)", rate, replicas);
  }
  const char* const law = scaling == RateScaling::sqrt ? "root of" : "linear in";
  return fmt::format("learning rate {:g} x {:g} ({} {} replica(s)) = {:g}", rate, factor, law, replicas, rate * factor);
}

}  // namespace bev
