#include "data/world/scenery.h"

#include <algorithm>

#include "data/world/ground.h"
#include "data/world/random.h"

namespace bev::world {

namespace {

/// Whether the stretch of road [begin, end] keeps away from junctions: `before` their entry and `after` their exit.
bool away_from_junctions(const Route& route, double begin, double end, double before, double after) {
  return std::none_of(route.junctions.begin(), route.junctions.end(), [&](const Junction& junction) {
    return end > junction.entry - before && begin < junction.exit + after;
  });
}

/// Walks along the route and decides at every candidate place what stands there.
class Placement {
 public:
  Placement(const WorldSettings& world, const Route& route)
      : world_(world), route_(route), roads_(route), random_(route.seed, route.number, Purpose::scenery) {}

  Scenery make() {
    add_kerbs(route_, points_);
    for (double s = 0; s < route_.path.length(); s += random_.uniform(6, 14)) {
      if (!place_blocker(s)) place_parked(s, false);
      place_parked(s, true);
      for (const bool left : {false, true}) {
        if (random_.chance(world_.walls)) place_wall(s, left);
      }
    }
    if (world_.verges) add_verges(route_, roads_, random_, points_);
    std::stable_sort(points_.begin(), points_.end(),
                     [](const ScenePoint& a, const ScenePoint& b) { return a.along < b.along; });
    return {std::move(points_), Avoidance(std::move(blockers_))};
  }

 private:
  bool place_blocker(double s) {
    if (!random_.chance(world_.blockers / 2) || s < next_blocker_) return false;
    if (!away_from_junctions(route_, s, s, 28, 22)) return false;
    // In a bend less far: two cars that meet there need more room between them.
    bool bend = false;
    for (double at = s - 20; at <= s + 20; at += 5) bend |= route_.path.curvature(at) != 0;
    const double reach = random_.uniform(0.8, bend ? 1.9 : 2.4);
    blockers_.push_back({s, reach});
    next_blocker_ = s + random_.uniform(45, 80);
    add_car(s, right_kerb + reach - car_width / 2);
    return true;
  }

  /// A car wholly beyond the kerb.
  void place_parked(double s, bool left) {
    if (!random_.chance(world_.parked) || !away_from_junctions(route_, s, s, 6, 6)) return;
    const double out = random_.uniform(0.15, 0.5) + car_width / 2;
    add_car(s, left ? left_kerb + out : right_kerb - out);
  }

  void place_wall(double s, bool left) {
    const double length = random_.uniform(5, 25), out = random_.uniform(2.5, 9), height = random_.uniform(0.6, 3);
    if (!away_from_junctions(route_, s, s + length, 3, 3)) return;
    for (double at = s; at <= s + length; at += 0.5) {
      const Point place = route_.path.pose(at, left ? left_kerb + out : right_kerb - out).point();
      if (roads_.clear(place, at, 1)) add(place, height, at);
    }
  }

  void add_car(double s, double left) {
    const double height = random_.chance(van_share) ? van_height : car_height;
    const Pose pose = route_.path.pose(s, left);
    for (const Point& point : car_points()) add(pose.at(point.x, point.y), height, s);
  }

  void add(Point at, double height, double along) {
    points_.push_back(
        {static_cast<float>(at.x), static_cast<float>(at.y), static_cast<float>(height), static_cast<float>(along)});
  }

  const WorldSettings& world_;
  const Route& route_;
  RoadMap roads_;
  Random random_;
  double next_blocker_ = 20;
  std::vector<ScenePoint> points_;
  std::vector<Avoidance::Blocker> blockers_;
};

std::vector<Point> make_car_points() {
  std::vector<Point> points;
  constexpr int along = 16, across = 8;
  constexpr double half_length = car_length / 2, half_width = car_width / 2;
  for (int i = 0; i < along; ++i) {
    const double x = half_length * (2.0 * i / along - 1);
    points.push_back({x, half_width});
    points.push_back({-x, -half_width});
  }
  for (int i = 0; i < across; ++i) {
    const double y = half_width * (2.0 * i / across - 1);
    points.push_back({half_length, -y});
    points.push_back({-half_length, y});
  }
  for (int i = 1; i < 9; ++i) {
    for (int j = 1; j < 5; ++j) points.push_back({half_length * (2.0 * i / 9 - 1), half_width * (2.0 * j / 5 - 1)});
  }
  return points;
}

}  // namespace

const std::vector<Point>& car_points() {
  static const std::vector<Point> points = make_car_points();
  return points;
}

Scenery make_scenery(const WorldSettings& world, const Route& route) { return Placement(world, route).make(); }

}  // namespace bev::world
