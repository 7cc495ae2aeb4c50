// Rasters of the generated world: egocentric, heading up, with the encoding that was promised, and blind to what lies
// more than 50 m of route away.
#include "data/world/raster.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/data/world_drives.h"

namespace bev::world {
namespace {

constexpr int side = 64, plane = side * side;

/// A drive of one moment on a bare straight road with the given heading, the ego at route position 100.
Drive bare_drive(double heading, std::vector<ScenePoint> points) {
  Drive drive;
  drive.route.seed = 5;
  drive.route.number = 9;
  drive.route.path = Path({.x = 12, .y = -30, .heading = heading});
  drive.route.path.add(200, 0);
  drive.scenery.points = std::move(points);
  Moment moment = {};
  moment.s = 100;
  moment.ego = drive.route.path.pose(100);
  drive.moments = {moment};
  return drive;
}

/// Points `forward` and `left` of the ego of such a drive, of given height and at a given distance along the route.
ScenePoint point_at(double heading, double forward, double left, double height, double along) {
  const Point place = bare_drive(heading, {}).moments[0].ego.at(forward, left);
  return {static_cast<float>(place.x), static_cast<float>(place.y), static_cast<float>(height),
          static_cast<float>(100 + along)};
}

std::vector<uint8_t> rendered(const Drive& drive, int frame = 0, int pixels = side) {
  std::vector<uint8_t> raster(static_cast<size_t>(3 * pixels * pixels), 7);
  render(drive, frame, pixels, 64, raster.data());
  return raster;
}

TEST_CASE("the ego is in the middle, ahead is up, left is left, whatever the heading") {
  for (const double heading : {0.0, 0.7, 2.0, -2.9}) {
    std::vector<ScenePoint> points;
    for (int i = 0; i < 3; ++i) points.push_back(point_at(heading, 10.5, 4.5, 1.5, 10));
    const std::vector<uint8_t> raster = rendered(bare_drive(heading, points));
    // Row 0 is 32 m ahead, column 0 is 32 m to the left.
    const int cell = 21 * side + 27;
    CHECK(raster[cell] == static_cast<int>(90 * std::log2(4.0)));
    CHECK(raster[plane + cell] == static_cast<int>(60 + 65 * 1.5));
    CHECK(std::count(raster.begin(), raster.begin() + plane, 0) == plane - 1);
    CHECK(std::count(raster.begin() + plane, raster.begin() + 2 * plane, 0) == plane - 1);
    CHECK(std::count(raster.begin() + 2 * plane, raster.end(), 0) == plane);
  }
}

TEST_CASE("the tallest point counts, and numbers saturate") {
  std::vector<ScenePoint> points;
  for (int i = 0; i < 40; ++i) points.push_back(point_at(0, 2.5, 0.5, i == 7 ? 3.5 : 0.15, 2));
  const std::vector<uint8_t> raster = rendered(bare_drive(0, points));
  const int cell = 29 * side + 31;
  CHECK(raster[cell] == 255);
  CHECK(raster[plane + cell] == 255);
}

TEST_CASE("a straight road is two straight kerbs, 1.75 m right and 5.25 m left of the ego") {
  for (const double heading : {0.3, 1.9}) {
    std::vector<ScenePoint> points;
    for (double along = -50; along <= 50; along += 0.25) {
      points.push_back(point_at(heading, along, right_kerb, 0.15, along));
      points.push_back(point_at(heading, along, left_kerb, 0.15, along));
    }
    const std::vector<uint8_t> raster = rendered(bare_drive(heading, points));
    int on_kerbs = 0, elsewhere = 0;
    for (int cell = 0; cell < plane; ++cell) {
      if (raster[static_cast<size_t>(cell)] == 0) continue;
      const int column = cell % side;
      (column == 26 || column == 33 ? on_kerbs : elsewhere) += 1;
    }
    CHECK(on_kerbs > 2 * side - 12);  // some far cells lose all their points
    CHECK(elsewhere == 0);
  }
}

TEST_CASE("what belongs to another passage of the route is not shown, however near it lies") {
  const auto shown = [](double along) {
    const std::vector<uint8_t> raster = rendered(bare_drive(1, {point_at(1, 5, 5, 1.5, along)}));
    return std::any_of(raster.begin(), raster.end(), [](uint8_t value) { return value != 0; });
  };
  CHECK(shown(5));
  CHECK(shown(-49));
  CHECK(shown(49));
  CHECK_FALSE(shown(51));
  CHECK_FALSE(shown(-51));
  CHECK_FALSE(shown(90));
}

TEST_CASE("far points are lost more often, near ones never") {
  const auto kept = [](double forward, double left) {
    int count = 0;
    Drive drive = bare_drive(0, {point_at(0, forward, left, 1, 0)});
    for (int i = 0; i < 1000; ++i) {
      drive.route.number = static_cast<uint32_t>(i);
      const std::vector<uint8_t> raster = rendered(drive);
      count += std::any_of(raster.begin(), raster.end(), [](uint8_t value) { return value != 0; });
    }
    return count / 1000.0;
  };
  CHECK(kept(8.5, 5.5) == 1);
  CHECK(kept(27.5, 0.5) == doctest::Approx(1.3 - 27.5 / 45).epsilon(0.08));
  CHECK(kept(31.5, 31.5) == doctest::Approx(0.3).epsilon(0.15));
}

TEST_CASE("points are scattered by 5 cm") {
  // 1024 pixels are 6.25 cm each: a few points a raster do not saturate the density.
  constexpr int pixels = 1024;
  Drive drive = bare_drive(0, std::vector<ScenePoint>(8, point_at(0, 5, 5, 1, 0)));
  double count = 0, sum = 0, squares = 0;
  for (int i = 0; i < 60; ++i) {
    drive.route.number = static_cast<uint32_t>(i);
    const std::vector<uint8_t> raster = rendered(drive, 0, pixels);
    for (int cell = 0; cell < pixels * pixels; ++cell) {
      const uint8_t density = raster[static_cast<size_t>(cell)];
      if (density == 0) continue;
      const double points = std::round(std::exp2((density + 0.5) / 90) - 1), row = cell / pixels + 0.5;
      count += points;
      sum += points * row;
      squares += points * row * row;
    }
  }
  CHECK(count == 8 * 60);
  const double mean = sum / count, metres = 64.0 / pixels;
  CHECK(mean * metres == doctest::Approx(32 - 5).epsilon(0.001));
  // A cell's own width adds a twelfth of its square.
  const double variance = (squares / count - mean * mean - 1.0 / 12) * metres * metres;
  CHECK(std::sqrt(variance) == doctest::Approx(0.05).epsilon(0.1));
}

TEST_CASE("a frame is the same whenever it is made, and noise differs between frames") {
  const Drive& drive = test::drives(1)[3];
  CHECK(rendered(drive, 20) == rendered(drive, 20));
  Drive still = drive;
  still.moments[21].ego = still.moments[20].ego;
  still.moments[21].s = still.moments[20].s;
  still.moments[21].cars = still.moments[20].cars;
  CHECK(rendered(still, 21) != rendered(still, 20));
}

TEST_CASE("cars are drawn where they are: about 80 points, tall") {
  CHECK(car_points().size() == 80);
  Drive drive = bare_drive(0.5, {});
  const Pose ego = drive.moments[0].ego;
  const Point place = ego.at(12, 3.8);
  drive.moments[0].cars = {{.pose = {place.x, place.y, ego.heading + 3.14159}, .height = car_height}};
  const std::vector<uint8_t> raster = rendered(drive);
  int cells = 0;
  for (int cell = 0; cell < plane; ++cell) {
    if (raster[static_cast<size_t>(cell)] == 0) continue;
    const double forward = 31.5 - cell / side, left = 31.5 - cell % side;
    CHECK(std::abs(forward - 12) < car_length / 2 + 0.8);
    CHECK(std::abs(left - 3.8) < car_width / 2 + 0.8);
    CHECK(raster[static_cast<size_t>(plane + cell)] == static_cast<int>(60 + 65 * car_height));
    ++cells;
  }
  CHECK(cells >= 10);
}

}  // namespace
}  // namespace bev::world
