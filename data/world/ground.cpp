#include "data/world/ground.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bev::world {

namespace {

constexpr double kerb_spacing = 0.25, kerb_height = 0.15, road_half = lane_width;
constexpr double verge_width = 11, verge_gap = 0.3, verge_density = 0.7;

ScenePoint scene_point(Point at, double height, double along) {
  return {static_cast<float>(at.x), static_cast<float>(at.y), static_cast<float>(height), static_cast<float>(along)};
}

void add_line(const Junction& junction, Point from, Point to, std::vector<ScenePoint>& points) {
  const int count = static_cast<int>(std::lround(std::hypot(to.x - from.x, to.y - from.y) / kerb_spacing));
  for (int i = 0; i <= count; ++i) {
    const double share = static_cast<double>(i) / count;
    const Point at = junction.place(from.x + share * (to.x - from.x), from.y + share * (to.y - from.y));
    points.push_back(scene_point(at, kerb_height, junction.middle()));
  }
}

/// The rounded corner towards (side_x, side_y), each 1 or -1.
void add_corner(const Junction& junction, double side_x, double side_y, std::vector<ScenePoint>& points) {
  const int count = static_cast<int>(std::lround(std::numbers::pi / 2 * corner_radius / kerb_spacing));
  for (int i = 0; i <= count; ++i) {
    const double angle = std::numbers::pi / 2 * i / count;
    const Point at = junction.place(side_x * (box_half - corner_radius * std::cos(angle)),
                                    side_y * (box_half - corner_radius * std::sin(angle)));
    points.push_back(scene_point(at, kerb_height, junction.middle()));
  }
}

/// Unit vector of an arm, relative to the direction of entry.
Point direction(Turn arm) {
  return arm == Turn::straight ? Point{1, 0} : arm == Turn::left ? Point{0, 1} : Point{0, -1};
}

/// The arms that exist and that the route does not take.
std::vector<Point> unused_arms(const Junction& junction) {
  std::vector<Point> arms;
  for (const Turn arm : {Turn::left, Turn::right, Turn::straight}) {
    if (arm != junction.turn && junction.open(arm)) arms.push_back(direction(arm));
  }
  return arms;
}

void add_junction_kerbs(const Junction& junction, std::vector<ScenePoint>& points) {
  for (const double side_x : {-1.0, 1.0}) {
    if (side_x > 0 && junction.closed_ahead) {
      add_line(junction, {road_half, -box_half}, {road_half, box_half}, points);
    } else {
      for (const double side_y : {-1.0, 1.0}) add_corner(junction, side_x, side_y, points);
    }
  }
  for (const Point arm : unused_arms(junction)) {
    for (const double side : {-road_half, road_half}) {
      const auto at = [&](double out) { return Point{arm.x * out - arm.y * side, arm.y * out + arm.x * side}; };
      add_line(junction, at(box_half), at(box_half + arm_length), points);
    }
  }
}

/// Whether a place relative to the box's middle lies in the box or on an arm that the route does not take.
bool covers(const Junction& junction, Point local, double margin) {
  const double wide = road_half + margin, ahead = junction.closed_ahead ? wide : box_half;
  if (local.x > -box_half && local.x < ahead && std::abs(local.y) < box_half) return true;
  for (const Point arm : unused_arms(junction)) {
    const double out = arm.x * local.x + arm.y * local.y, side = arm.x * local.y - arm.y * local.x;
    if (out > 0 && out < box_half + arm_length + margin && std::abs(side) < wide) return true;
  }
  return false;
}

}  // namespace

RoadMap::RoadMap(const Route& route) : route_(route) {
  for (double s = 0; s <= route.path.length(); s += spacing) middle_.push_back(route.path.pose(s, road_centre).point());
}

double RoadMap::from_middle(Point at, double along) const {
  const auto last = static_cast<double>(middle_.size() - 1);
  const auto begin = static_cast<size_t>(std::clamp((along - reach) / spacing, 0.0, last)),
             end = static_cast<size_t>(std::clamp((along + reach) / spacing, 0.0, last)) + 1;
  double nearest = 1e18;
  for (size_t i = begin; i < end; ++i) {
    const double dx = middle_[i].x - at.x, dy = middle_[i].y - at.y;
    nearest = std::min(nearest, dx * dx + dy * dy);
  }
  return std::sqrt(nearest);
}

bool RoadMap::clear(Point at, double along, double margin) const {
  for (const Junction& junction : route_.junctions) {
    if (std::abs(junction.middle() - along) > reach) continue;
    if (covers(junction, junction.local(at), margin)) return false;
  }
  return from_middle(at, along) >= road_half + margin;
}

void add_kerbs(const Route& route, std::vector<ScenePoint>& points) {
  for (double s = 0; s < route.path.length(); s += kerb_spacing) {
    const Junction* junction = route.next_junction(s);
    if (junction && s > junction->entry) continue;
    for (const double left : {right_kerb, left_kerb}) {
      points.push_back(scene_point(route.path.pose(s, left).point(), kerb_height, s));
    }
  }
  for (const Junction& junction : route.junctions) add_junction_kerbs(junction, points);
}

void add_verges(const Route& route, const RoadMap& roads, Random& random, std::vector<ScenePoint>& points) {
  constexpr double stretch = 2;  // metres of road that are strewn at a time
  const auto strew = [&](Point at, double along) {
    const double height = random.uniform(0.1, 0.6);
    if (roads.clear(at, along, verge_gap)) points.push_back(scene_point(at, height, along));
  };
  for (double begin = 0; begin < route.path.length(); begin += stretch) {
    for (const bool left : {false, true}) {
      const int count = random.poisson(verge_density * verge_width * stretch);
      for (int i = 0; i < count; ++i) {
        const double s = begin + random.uniform(0, stretch), out = verge_gap + random.uniform(0, verge_width);
        const Junction* junction = route.next_junction(s);
        if (junction && s > junction->entry) continue;
        strew(route.path.pose(s, left ? left_kerb + out : right_kerb - out).point(), s);
      }
    }
  }
  for (const Junction& junction : route.junctions) {
    if (junction.closed_ahead) {  // across the head of the T
      const int count = random.poisson(verge_density * verge_width * 2 * box_half);
      for (int i = 0; i < count; ++i) {
        const double x = road_half + verge_gap + random.uniform(0, verge_width);
        strew(junction.place(x, random.uniform(-box_half, box_half)), junction.middle());
      }
    }
    for (const Point arm : unused_arms(junction)) {
      for (const double side : {-1.0, 1.0}) {
        const int count = random.poisson(verge_density * verge_width * arm_length);
        for (int i = 0; i < count; ++i) {
          const double out = box_half + random.uniform(0, arm_length);
          const double aside = side * (road_half + verge_gap + random.uniform(0, verge_width));
          const Point at = junction.place(arm.x * out - arm.y * aside, arm.y * out + arm.x * aside);
          // The verge of the route itself has been strewn above.
          if (roads.from_middle(at, junction.middle()) < road_half + verge_gap + verge_width) continue;
          strew(at, junction.middle());
        }
      }
    }
  }
}

}  // namespace bev::world
