// The road that the ego follows: the centre line of its lane, made of straights, curves and junctions, with what the
// map says about it (speed limits, target points, commands). Two lanes of 3.5 m, right-hand traffic: the right kerb
// lies 1.75 m to the right of the line, the left kerb 5.25 m to its left.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/world/path.h"
#include "data/world/settings.h"

namespace bev::world {

constexpr double lane_width = 3.5, right_kerb = -1.75, left_kerb = 5.25, road_centre = 1.75;
// A junction is a square box of 14 m: half of it is half a road and a rounded corner of 3.5 m. So a left turn is a
// quarter circle of 8.75 m, a right turn one of 5.25 m, and each meets its lane exactly.
constexpr double box_half = 7, corner_radius = 3.5, arm_length = 30;

enum class Turn { left, right, straight };
constexpr double turn_curvature(Turn turn) {
  return turn == Turn::left ? 1 / (box_half + road_centre) : turn == Turn::right ? -1 / (box_half - road_centre) : 0;
}
double turn_length(Turn turn);

struct Junction {
  double entry, exit;  // where the line enters and leaves the box
  Turn turn;           // the route's
  bool closed_ahead;   // a T junction: no arm ahead
  Pose start;          // of the line at the entry

  double middle() const { return entry + box_half; }  // the route position of all that belongs to the junction
  /// A place given relative to the box's middle, x in the direction of entry, y to its left.
  Point place(double x, double y) const { return start.at(box_half + x, road_centre + y); }
  /// The inverse.
  Point local(Point at) const {
    const Point p = start.local(at);
    return {p.x - box_half, p.y - road_centre};
  }
  bool open(Turn arm) const { return arm != Turn::straight || !closed_ahead; }
};

/// The order of the one-hot in the state; the two lane changes are never used here.
enum class Command { left, right, straight, follow, change_left, change_right };
constexpr int commands = 6;

struct Route {
  uint64_t seed;
  uint32_t number;
  Path path;
  std::vector<Junction> junctions;
  std::vector<double> zone_ends, zone_limits;  // speed limits, m/s, of consecutive stretches
  std::vector<double> targets;                 // positions of the sparse route points

  double limit(double s) const;
  /// That of the next junction from 30 m before its entry to its exit, else to follow the road.
  Command command(double s) const;
  /// The first route point more than 10 m ahead.
  Point target(double s) const;
  /// The junction that s has not left yet, or null.
  const Junction* next_junction(double s) const;
};

/// At least `length` metres long. A function of its arguments.
Route make_route(const WorldSettings& world, uint64_t seed, uint32_t number, double length);

}  // namespace bev::world
