#include "data/world/driver.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace bev::world {

double follow(double v, double wanted, std::span<const Leader> leaders) {
  constexpr double most = 1.8, comfortable = 2.0, headway = 1.3, standstill = 2, emergency = 5;
  const double ratio = v / wanted;
  double interaction = 0;
  for (const Leader& leader : leaders) {
    const double approach = v * (v - leader.speed) / (2 * std::sqrt(most * comfortable));
    const double gap_wanted = standstill + std::max(0.0, headway * v + approach);
    const double pressure = gap_wanted / std::max(leader.gap, 0.1);
    interaction = std::max(interaction, pressure * pressure);
  }
  double a = std::clamp(most * (1 - ratio * ratio * ratio * ratio - interaction), -emergency, most);
  if (v > wanted) a = std::min(a, std::max(-3.0, 2.5 * (wanted - v)));
  return a;
}

Avoidance::Offset Avoidance::at(double s) const {
  Offset most{0, 0};
  for (const Blocker& blocker : blockers_) {
    // Distance beyond the plateau, as a share of the ramp on that side.
    const double from = s - blocker.s, length = from < 0 ? ramp_before : ramp_after;
    const double share = std::max(0.0, std::abs(from) - plateau) / length;
    if (share >= 1) continue;
    const double height = blocker.reach - 0.1;
    const double left = height * (1 + std::cos(std::numbers::pi * share)) / 2;
    if (left <= most.left) continue;
    const double slope = height * std::numbers::pi / 2 * std::sin(std::numbers::pi * share) / length;
    most = {left, from < 0 ? slope : -slope};
  }
  return most;
}

double Avoidance::speed_cap(double s) const {
  double cap = std::numeric_limits<double>::infinity();
  for (const Blocker& blocker : blockers_) {
    if (std::abs(s - blocker.s) <= plateau) cap = std::min(cap, 7.5 - 1.2 * blocker.reach);
  }
  return cap;
}

RoadPose road_pose(const Route& route, const Avoidance& avoidance, double s) {
  const Avoidance::Offset offset = avoidance.at(s);
  Pose pose = route.path.pose(s, offset.left);
  const double along = 1 - route.path.curvature(s) * offset.left;  // inside a bend the way is shorter
  pose.heading += std::atan2(offset.slope, along);
  return {pose, std::hypot(along, offset.slope)};
}

SpeedProfile::SpeedProfile(const Route& route, const Avoidance& avoidance) {
  const auto count = static_cast<size_t>(route.path.length() / spacing) + 2;
  std::vector<double> allowed(count);
  for (size_t i = 0; i < count; ++i) {
    const double s = static_cast<double>(i) * spacing, bend = std::abs(route.path.curvature(s));
    allowed[i] = std::min(route.limit(s), avoidance.speed_cap(s));
    if (bend > 0) allowed[i] = std::min(allowed[i], std::sqrt(2.5 / bend));
  }
  // The lowest of each place's neighbourhood, so that what is interpolated is nowhere above what is allowed.
  speeds_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    speeds_[i] = std::min({allowed[i > 0 ? i - 1 : 0], allowed[i], allowed[std::min(i + 1, count - 1)]});
  }
  for (size_t i = count - 1; i-- > 0;) {
    speeds_[i] = std::min(speeds_[i], std::sqrt(speeds_[i + 1] * speeds_[i + 1] + 2 * 1.6 * spacing));
  }
}

double SpeedProfile::at(double s) const {
  const double place = std::clamp(s / spacing, 0.0, static_cast<double>(speeds_.size() - 2));
  const auto i = static_cast<size_t>(place);
  const double share = place - static_cast<double>(i);
  return speeds_[i] + share * (speeds_[i + 1] - speeds_[i]);
}

}  // namespace bev::world
