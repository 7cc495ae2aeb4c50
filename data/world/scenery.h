// What stands beside the road and never moves: kerbs, parked cars, walls, scattered returns of the verges; as the
// points that a LiDAR would hit, each with the route position it belongs to.
#pragma once

#include <vector>

#include "data/world/driver.h"
#include "data/world/route.h"

namespace bev::world {

struct ScenePoint {
  float x, y, height;  // m; height over the ground
  float along;         // route position
};

struct Scenery {
  std::vector<ScenePoint> points;  // by route position
  Avoidance avoidance;             // of the parked cars that reach into the lane
};

Scenery make_scenery(const WorldSettings& world, const Route& route);

/// Outline and interior of a car, in its frame: about 80 points.
const std::vector<Point>& car_points();

constexpr double car_height = 1.5, van_height = 3.0, van_share = 0.15;
/// How far along the route something may lie from the ego and still be shown. Routes may cross themselves: what belongs
/// to another passage must not appear on this one.
constexpr double shown_along = 50;

}  // namespace bev::world
