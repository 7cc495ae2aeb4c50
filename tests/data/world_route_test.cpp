// Roads of the generated world: continuous, junctions that meet their lanes exactly, nothing standing in the lane, and
// what the map says (limits, target points, commands).
#include "data/world/route.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numbers>
#include <set>

#include "data/world/ground.h"
#include "data/world/random.h"
#include "tests/data/world_drives.h"
#include "tests/support/temporary_folder.h"

namespace bev::world {
namespace {

double apart(Point a, Point b) { return std::hypot(a.x - b.x, a.y - b.y); }

TEST_CASE("a path of arcs is where geometry says, and continuous") {
  Path path({.x = 3, .y = -2, .heading = 0});
  path.add(10, 0);
  path.add(std::numbers::pi / 2 * 20, 1.0 / 20);  // a quarter circle to the left
  path.add(5, 0);
  const Pose end = path.pose(path.length());
  CHECK(end.x == doctest::Approx(3 + 10 + 20));
  CHECK(end.y == doctest::Approx(-2 + 20 + 5));
  CHECK(end.heading == doctest::Approx(std::numbers::pi / 2));
  CHECK(apart(path.pose(10, 20).point(), path.pose(25, 20).point()) == doctest::Approx(0));  // the circle's middle
  CHECK(path.pose(-4).x == doctest::Approx(-1));
  CHECK(path.pose(path.length() + 7).y == doctest::Approx(end.y + 7));
  for (double s = -5; s < path.length() + 5; s += 0.01) {
    const Pose a = path.pose(s), b = path.pose(s + 0.01);
    CHECK(apart(a.point(), b.point()) == doctest::Approx(0.01).epsilon(1e-4));
    CHECK(std::abs(b.heading - a.heading) <= 0.01 / 20 + 1e-12);
  }
}

TEST_CASE("junction exits meet the lanes of the box, and the arm that the route takes exists") {
  int seen = 0;
  test::for_all_drives([&](const Drive& drive) {
    for (const Junction& junction : drive.route.junctions) {
      const Pose entry = drive.route.path.pose(junction.entry), exit = drive.route.path.pose(junction.exit);
      const Point at = junction.local(exit.point()), from = junction.local(entry.point());
      CHECK(from.x == doctest::Approx(-box_half));
      CHECK(from.y == doctest::Approx(-road_centre));
      const double turned = exit.heading - entry.heading;
      if (junction.turn == Turn::left) {
        CHECK(at.x == doctest::Approx(road_centre));
        CHECK(at.y == doctest::Approx(box_half));
        CHECK(turned == doctest::Approx(std::numbers::pi / 2));
      } else if (junction.turn == Turn::right) {
        CHECK(at.x == doctest::Approx(-road_centre));
        CHECK(at.y == doctest::Approx(-box_half));
        CHECK(turned == doctest::Approx(-std::numbers::pi / 2));
      } else {
        CHECK(at.x == doctest::Approx(box_half));
        CHECK(at.y == doctest::Approx(-road_centre));
        CHECK(turned == doctest::Approx(0));
        CHECK_FALSE(junction.closed_ahead);
      }
      CHECK(drive.route.path.curvature(junction.exit + 5) == 0);
      ++seen;
    }
  });
  CHECK(seen > 100);
}

TEST_CASE("nothing that is shown stands in the lane, not even where the route crosses itself") {
  test::for_all_drives([&](const Drive& drive) {
    const std::vector<ScenePoint>& points = drive.scenery.points;
    CHECK(std::is_sorted(points.begin(), points.end(),
                         [](const ScenePoint& a, const ScenePoint& b) { return a.along < b.along; }));
    for (double s = 40; s < 560; s += 4) {
      const Pose pose = road_pose(drive.route, drive.scenery.avoidance, s).pose;
      for (const ScenePoint& point : points) {
        if (std::abs(point.along - s) > shown_along) continue;
        const Point local = pose.local({point.x, point.y});
        const bool in_the_way = std::abs(local.x) < car_length / 2 && std::abs(local.y) < car_width / 2 + 0.2;
        if (in_the_way) FAIL_CHECK("route ", drive.route.number, ": a point stands in the lane at ", s);
      }
    }
  });
}

TEST_CASE("verges and walls keep off roads and arms") {
  test::for_all_drives([&](const Drive& drive) {
    const RoadMap roads(drive.route);
    for (const ScenePoint& point : drive.scenery.points) {
      const bool verge = point.height > 0.16f && point.height < 0.6f;
      if (verge && !roads.clear({point.x, point.y}, point.along, 0.2)) FAIL_CHECK("a bush stands on a road");
    }
    // The map itself: the lane's middle is on the road, 12 m beside it there is none, unless there is a junction.
    CHECK_FALSE(roads.clear(drive.route.path.pose(20).point(), 20, 0));
    CHECK(roads.clear(drive.route.path.pose(20, -12).point(), 20, 0));
    for (const Junction& junction : drive.route.junctions) {
      if (junction.exit + 40 > drive.route.path.length()) continue;  // the route ends before its arm does
      for (const Point arm : {Point{25, 0}, Point{0, 25}, Point{0, -25}}) {
        const bool ahead = arm.x > 0;
        if (ahead && junction.closed_ahead) continue;
        CHECK_FALSE(roads.clear(junction.place(arm.x, arm.y), junction.middle(), 0));
      }
    }
  });
}

TEST_CASE("the command is that of the next junction from 30 m before its entry to its exit") {
  test::for_all_drives([&](const Drive& drive) {
    for (const Junction& junction : drive.route.junctions) {
      const Command command = junction.turn == Turn::left    ? Command::left
                              : junction.turn == Turn::right ? Command::right
                                                             : Command::straight;
      CHECK(drive.route.command(junction.entry - 29.9) == command);
      CHECK(drive.route.command(junction.exit - 0.1) == command);
      CHECK(drive.route.command(junction.entry - 30.1) == Command::follow);
      CHECK(drive.route.command(junction.exit + 0.1) == Command::follow);
    }
  });
}

TEST_CASE("the target is the first sparse point more than 10 m ahead on the lane; limits are from the list") {
  for (const int which : {0, 1}) {
    const WorldSettings world = world_settings(which == 0 ? "balanced" : "obstacle-rich");
    std::set<double> limits;
    for (const Drive& drive : test::drives(which)) {
      const Route& route = drive.route;
      for (size_t i = 1; i < route.targets.size(); ++i) {
        const double spacing = route.targets[i] - route.targets[i - 1];
        CHECK(spacing >= world.target_spacing.low);
        CHECK(spacing < world.target_spacing.high);
        const Point place = route.path.pose(route.targets[i]).point();
        CHECK(apart(route.target(route.targets[i] - 10.01), place) < 1e-9);
        CHECK(apart(route.target(route.targets[i - 1] - 9.99), place) < 1e-9);
      }
      double begin = 0;
      for (size_t zone = 0; zone < route.zone_ends.size(); ++zone) {
        CHECK(route.limit(begin + 0.1) == route.zone_limits[zone]);
        CHECK(route.limit(route.zone_ends[zone] - 0.1) == route.zone_limits[zone]);
        limits.insert(route.zone_limits[zone]);
        begin = route.zone_ends[zone];
      }
      CHECK(route.path.length() >= 12 * 45 + 150);
    }
    CHECK(limits == std::set<double>{7, 10, 14});
  }
}

TEST_CASE("random streams have the moments that they should, and do not share numbers") {
  Random random(3, 4, Purpose::traffic), same(3, 4, Purpose::traffic), part(3, 4, Purpose::traffic, 1);
  double mean = 0, square = 0, count = 0;
  constexpr int n = 40000;
  int equal = 0;
  for (int i = 0; i < n; ++i) {
    const uint32_t bits = random.bits();
    CHECK(bits == same.bits());
    equal += bits == part.bits();
  }
  CHECK(equal < 3);
  for (int i = 0; i < n; ++i) {
    const double value = random.normal();
    mean += value / n;
    square += value * value / n;
    count += static_cast<double>(random.poisson(2.5)) / n;
  }
  CHECK(std::abs(mean) < 0.02);
  CHECK(square == doctest::Approx(1).epsilon(0.03));
  CHECK(count == doctest::Approx(2.5).epsilon(0.02));
  CHECK(test::contains(test::error_of(ErrorKind::usage, [] { world_settings("rural"); }), "obstacle-rich"));
}

}  // namespace
}  // namespace bev::world
