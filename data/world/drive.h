// One drive of the expert along one route: simulated in steps of 0.1 s, recorded at 2 Hz.
#pragma once

#include <optional>
#include <vector>

#include "data/world/scenery.h"
#include "data/world/signals.h"
#include "data/world/traffic.h"

namespace bev::world {

/// What is recorded at one moment. Places and headings are of the world.
struct Moment {
  double time, s;  // seconds; route position of the ego's middle
  Pose ego;
  double speed;         // m/s
  double acceleration;  // m/s^2, mean since the moment before; 0 at the first
  Command command;
  Point target;
  struct SignalView {
    Light light;
    double distance;  // to the junction's box, m
  };
  std::optional<SignalView> signal;  // of the next junction, within 50 m
  double limit, limit_ahead;         // here and 25 m ahead, m/s
  bool leader_brakes;                // a car within 45 m ahead, harder than 0.7 m/s^2
  std::vector<VisibleCar> cars;
};

struct Drive {
  Route route;
  Scenery scenery;
  std::vector<Signal> signals;
  std::vector<Moment> moments;  // every 0.5 s from 0 to the end, both included
};

/// A function of its arguments.
Drive drive_route(const WorldSettings& world, uint64_t seed, uint32_t number, double seconds);

/// The pedals that the acceleration stands for, each 0 to 1.
double throttle(double acceleration);
double brake(double acceleration);

}  // namespace bev::world
