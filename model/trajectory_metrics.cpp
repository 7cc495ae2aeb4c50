#include "model/trajectory_metrics.h"

#include <array>
#include <cmath>
#include <string>

namespace bev {

namespace {

constexpr double waypoint_seconds = 0.5;  // 2 Hz
constexpr double near = 1;                // metres

struct Horizon {
  const char* name;
  size_t waypoint;
};
constexpr std::array<Horizon, 3> horizons = {{{"1s", 1}, {"2s", 3}, {"3s", 5}}};

double distance(std::span<const double> a, std::span<const double> b, size_t waypoint) {
  return std::hypot(a[2 * waypoint] - b[2 * waypoint], a[2 * waypoint + 1] - b[2 * waypoint + 1]);
}

/// Over those of the three horizons that the trajectory reaches.
double average(std::span<const double> a, std::span<const double> b) {
  double sum = 0, count = 0;
  for (const Horizon& horizon : horizons) {
    if (2 * horizon.waypoint + 1 >= a.size()) continue;
    sum += distance(a, b, horizon.waypoint);
    count += 1;
  }
  return sum / count;
}

void add(const std::string& who, std::span<const double> trajectory, std::span<const double> driven,
         const std::string& subset, MetricSums& sums) {
  for (const Horizon& horizon : horizons) {
    if (2 * horizon.waypoint + 1 >= trajectory.size()) continue;
    sums.add(who + "_" + horizon.name, distance(trajectory, driven, horizon.waypoint), 1);
  }
  const double mean = average(trajectory, driven);
  sums.add(who + "_avg", mean, 1);
  // Both subsets on every sample, so that the order of metrics is the same on every replica.
  for (const char* name : {"near_cv", "far_cv"}) {
    const bool member = subset == name;
    sums.add(who + "_avg_" + name, member ? mean : 0, member ? 1 : 0);
  }
}

}  // namespace

std::vector<double> constant_velocity(double speed, int64_t horizon) {
  std::vector<double> out;
  for (int64_t i = 1; i <= horizon; ++i) {
    out.push_back(speed * waypoint_seconds * static_cast<double>(i));
    out.push_back(0);
  }
  return out;
}

void add_trajectory_metrics(std::span<const double> predicted, std::span<const double> driven, double speed,
                            std::span<const double> mean_trajectory, MetricSums& sums) {
  const auto waypoints = static_cast<int64_t>(driven.size() / 2);
  const std::vector<double> straight = constant_velocity(speed, waypoints);
  const double last = distance(straight, driven, std::min<size_t>(5, driven.size() / 2 - 1));
  const std::string subset = last <= near ? "near_cv" : "far_cv";
  sums.add("near_cv_share", last <= near ? 1 : 0, 1);
  add("L2", predicted, driven, subset, sums);
  add("cv", straight, driven, subset, sums);
  if (!mean_trajectory.empty()) add("mean", mean_trajectory, driven, subset, sums);
}

}  // namespace bev
