#include "data/world/route.h"

#include <algorithm>
#include <numbers>

#include "data/world/random.h"

namespace bev::world {

namespace {

double draw(Random& random, const Range& range) { return random.uniform(range.low, range.high); }

void add_curve(Path& path, Random& random, const WorldSettings& world) {
  const double radius = draw(random, world.radius);
  const double angle = random.uniform(25, 85) * std::numbers::pi / 180;
  path.add(radius * angle, random.chance(0.5) ? 1 / radius : -1 / radius);
}

void add_junction(Route& route, Random& random) {
  const Turn turn = static_cast<Turn>(random.below(3));
  const bool closed = random.chance(0.4) && turn != Turn::straight;
  const double entry = route.path.length(), length = turn_length(turn);
  route.junctions.push_back(
      {.entry = entry, .exit = entry + length, .turn = turn, .closed_ahead = closed, .start = route.path.pose(entry)});
  route.path.add(length, turn_curvature(turn));
  route.path.add(10, 0);
}

}  // namespace

double turn_length(Turn turn) {
  return turn == Turn::straight ? 2 * box_half : std::numbers::pi / 2 / std::abs(turn_curvature(turn));
}

double Route::limit(double s) const {
  const auto zone = std::upper_bound(zone_ends.begin(), zone_ends.end() - 1, s);
  return zone_limits[static_cast<size_t>(zone - zone_ends.begin())];
}

const Junction* Route::next_junction(double s) const {
  const auto next = std::upper_bound(junctions.begin(), junctions.end(), s,
                                     [](double value, const Junction& junction) { return value < junction.exit; });
  return next == junctions.end() ? nullptr : &*next;
}

Command Route::command(double s) const {
  const Junction* junction = next_junction(s);
  if (!junction || s < junction->entry - 30) return Command::follow;
  return junction->turn == Turn::left    ? Command::left
         : junction->turn == Turn::right ? Command::right
                                         : Command::straight;
}

Point Route::target(double s) const {
  const auto next = std::upper_bound(targets.begin(), targets.end() - 1, s + 10);
  return path.pose(*next).point();
}

Route make_route(const WorldSettings& world, uint64_t seed, uint32_t number, double length) {
  Random random(seed, number, Purpose::route);
  Route route{.seed = seed,
              .number = number,
              .path = Path({.x = 0, .y = 0, .heading = random.uniform(0, 2 * std::numbers::pi)}),
              .junctions = {},
              .zone_ends = {},
              .zone_limits = {},
              .targets = {}};
  route.path.add(40, 0);
  while (route.path.length() < length) {
    route.path.add(draw(random, world.straight), 0);
    const double what = random.uniform();
    if (what < world.junctions) {
      add_junction(route, random);
    } else if (what < world.junctions + world.curves) {
      add_curve(route.path, random, world);
    }
  }
  constexpr std::array<double, 3> limits = {7, 10, 14};
  for (double end = 0; end < route.path.length();) {
    end += random.uniform(80, 180);
    route.zone_ends.push_back(end);
    route.zone_limits.push_back(limits[static_cast<size_t>(random.below(3))]);
  }
  for (double at = 0; at < route.path.length();) {
    at += draw(random, world.target_spacing);
    route.targets.push_back(at);
  }
  return route;
}

}  // namespace bev::world
