// The ground as a LiDAR sees it: kerbs of the road, of junction corners and of the arms that the route does not take,
// and scattered returns of grass and bushes on the verges, which leave the road as a dark corridor.
#pragma once

#include <vector>

#include "data/world/random.h"
#include "data/world/scenery.h"

namespace bev::world {

/// Where roads are, for placing what must not stand on them.
class RoadMap {
 public:
  explicit RoadMap(const Route& route);
  /// Metres from `at` to the middle of the route's road, of what lies within 60 m of `along`; to about 0.2 m.
  double from_middle(Point at, double along) const;
  /// Whether `at` lies at least `margin` beyond the kerbs of the route's road, the junctions and their arms, within 60
  /// m of `along`.
  bool clear(Point at, double along, double margin) const;

 private:
  static constexpr double spacing = 2, reach = 60;
  const Route& route_;
  std::vector<Point> middle_;
};

void add_kerbs(const Route& route, std::vector<ScenePoint>& points);
/// 0.7 points a square metre, on 11 m beside each kerb.
void add_verges(const Route& route, const RoadMap& roads, Random& random, std::vector<ScenePoint>& points);

}  // namespace bev::world
