// How cars drive: how fast the road allows, how they swing round parked cars, and how they follow (IDM, the intelligent
// driver model: Treiber, Hennecke and Helbing 2000, eqs. 3 and 4). The ego is such a driver and so is all traffic on
// its route.
#pragma once

#include <span>
#include <vector>

#include "data/world/route.h"

namespace bev::world {

constexpr double car_length = 4.5, car_width = 1.9;

/// What a driver must not run into: a car, or a stop line.
struct Leader {
  double gap, speed;  // from bumper to bumper, m; m/s
};

/// m/s^2, of a driver at speed `v` who wants `wanted` (> 0). Between -5 and 1.8.
double follow(double v, double wanted, std::span<const Leader> leaders);

/// The lateral offset from the lane's middle with which cars pass parked cars that reach into the lane: raised-cosine
/// ramps of 14 m before and 12 m after a plateau that begins and ends 4 m beyond the parked car's ends.
class Avoidance {
 public:
  struct Blocker {
    double s, reach;  // the parked car's middle; how far it reaches into the lane, m
  };
  Avoidance() = default;
  explicit Avoidance(std::vector<Blocker> blockers) : blockers_(std::move(blockers)) {}

  struct Offset {
    double left, slope;  // m, and its derivative by s
  };
  Offset at(double s) const;
  /// The speed beside a parked car, m/s; infinite elsewhere.
  double speed_cap(double s) const;
  const std::vector<Blocker>& blockers() const { return blockers_; }

  static constexpr double plateau = car_length / 2 + 4, ramp_before = 14, ramp_after = 12;

 private:
  std::vector<Blocker> blockers_;
};

/// The pose of a car at `s` that swings round parked cars, turned into the direction in which it really moves; and how
/// many metres it moves for each metre of the line.
struct RoadPose {
  Pose pose;
  double stretch;
};
RoadPose road_pose(const Route& route, const Avoidance& avoidance, double s);

/// The speed that the road allows at each place: limit, lateral acceleration of 2.5 m/s^2 in curves, care beside parked
/// cars; lowered so that 1.6 m/s^2 of braking suffice wherever it falls.
class SpeedProfile {
 public:
  SpeedProfile(const Route& route, const Avoidance& avoidance);
  double at(double s) const;

 private:
  static constexpr double spacing = 0.5;
  std::vector<double> speeds_;
};

}  // namespace bev::world
