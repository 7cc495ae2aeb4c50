// Other cars. Those ahead on the ego's route drive by the same rules as it does, sometimes stop for no visible reason,
// and turn off at junctions; oncoming ones pass by. None is behind the ego, and none appears or vanishes where the
// raster would show it.
#pragma once

#include <optional>
#include <vector>

#include "data/world/driver.h"
#include "data/world/random.h"
#include "data/world/route.h"
#include "data/world/scenery.h"
#include "data/world/signals.h"

namespace bev::world {

/// A car where it is now.
struct VisibleCar {
  Pose pose;
  double height;
};

/// The fixed things that drivers know.
struct Surroundings {
  const WorldSettings& world;
  const Route& route;
  const Avoidance& avoidance;
  const SpeedProfile& profile;
  const std::vector<Signal>& signals;
};

class Traffic {
 public:
  /// Cars around an ego at `ego_s`.
  Traffic(const Surroundings& surroundings, double ego_s);

  /// The nearest car ahead of the ego on its route.
  struct Ahead {
    double s, v, a;  // route position of its middle, m/s, m/s^2 in the last step
  };
  std::optional<Ahead> ahead(double ego_s) const;
  static constexpr double leader_length = 4.6;  // distance of the middles minus this is the gap

  /// One step of the simulation, from `time` on, with the ego where it is at `time`.
  void step(double time, double ego_s);
  /// Those that belong to the stretch of route that is shown around the ego.
  std::vector<VisibleCar> visible(double ego_s) const;

 private:
  struct Car {
    double s, v, factor, height;
    double a = 0, stop_until = 0;
    const Junction* decided = nullptr;  // the last junction for which it has chosen its way
    std::optional<Turn> turn_off;       // the arm by which it leaves the route there
  };
  struct Oncoming {
    double s, v, height;
  };

  void spawn(double time, double ego_s);
  void spawn_ahead(double s);
  void choose_ways();
  double wanted_speed(const Car& car) const;
  double acceleration(const Car& car, const Car* leader, double time) const;
  void move_oncoming(double ego_s);
  bool room_for_oncoming(double s) const;
  Pose pose(const Car& car) const;
  Pose pose(const Oncoming& car) const;
  double draw_height() { return random_.chance(van_share) ? van_height : car_height; }

  Surroundings around_;
  Random random_;
  std::vector<Car> lane_;     // ascending by s
  std::vector<Car> leaving_;  // out of the ego's way
  std::vector<Oncoming> oncoming_;
};

/// Speed after one step; a car that hardly moves and does not accelerate stands.
double next_speed(double v, double a);

}  // namespace bev::world
