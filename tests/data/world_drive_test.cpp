// The expert of the generated world: it moves as its speed says, keeps to its lane and the limit, stops at red, and
// touches nobody.
#include "data/world/drive.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "tests/data/world_drives.h"

namespace bev::world {
namespace {

/// Whether two cars overlap, by the separating axes of their rectangles.
bool overlap(const Pose& a, const Pose& b) {
  const auto separated = [](const Pose& own, const Pose& other) {
    double low_x = 1e9, high_x = -1e9, low_y = 1e9, high_y = -1e9;
    for (const double forward : {-car_length / 2, car_length / 2}) {
      for (const double left : {-car_width / 2, car_width / 2}) {
        const Point corner = own.local(other.at(forward, left));
        low_x = std::min(low_x, corner.x);
        high_x = std::max(high_x, corner.x);
        low_y = std::min(low_y, corner.y);
        high_y = std::max(high_y, corner.y);
      }
    }
    return low_x > car_length / 2 || high_x < -car_length / 2 || low_y > car_width / 2 || high_y < -car_width / 2;
  };
  return !separated(a, b) && !separated(b, a);
}

TEST_CASE("positions change as speeds say, and headings point where the car goes") {
  test::for_all_drives([&](const Drive& drive) {
    REQUIRE(drive.moments.size() == 91);
    for (size_t i = 1; i < drive.moments.size(); ++i) {
      const Moment &a = drive.moments[i - 1], &b = drive.moments[i];
      CHECK(b.time - a.time == doctest::Approx(frame_seconds));
      const double chord = std::hypot(b.ego.x - a.ego.x, b.ego.y - a.ego.y), mean = (a.speed + b.speed) / 2;
      // The speed is not linear within half a second, so its mean is only near the trapezium; the bound is from the
      // largest change of acceleration, 6.8 m/s^2, between the two ends.
      CHECK(std::abs(chord - mean * frame_seconds) < 0.22 + 0.02 * mean);
      CHECK(std::abs(b.speed - a.speed) <= 5 * frame_seconds + 1e-9);
      CHECK(b.acceleration == doctest::Approx((b.speed - a.speed) / frame_seconds));
      CHECK(throttle(b.acceleration) == doctest::Approx(std::max(0.0, b.acceleration / 2)));
      CHECK(brake(b.acceleration) == doctest::Approx(std::clamp(-b.acceleration / 3, 0.0, 1.0)));
      CHECK(std::abs(b.ego.heading - a.ego.heading) < 0.12 * chord + 0.15);
      if (chord < 0.3) continue;
      const Point ahead = a.ego.local(b.ego.point());
      const double direction = std::atan2(ahead.y, ahead.x), middle = (b.ego.heading - a.ego.heading) / 2;
      CHECK(std::abs(direction - middle) < 0.1);
    }
  });
}

TEST_CASE("simulated in small steps, distance over time is the speed to one part in a thousand") {
  // The recorded route position moves by speed over stretch; checked on the exact geometry of one swing in a bend.
  Route route{
      .seed = 0, .number = 0, .path = Path(), .junctions = {}, .zone_ends = {1e9}, .zone_limits = {14}, .targets = {0}};
  route.path.add(50, 0);
  route.path.add(100, 1.0 / 40);
  const Avoidance avoidance({{.s = 80, .reach = 2.0}});
  for (double s = 40; s < 130; s += 0.37) {
    constexpr double step = 1e-4;
    const RoadPose here = road_pose(route, avoidance, s);
    const Pose next = road_pose(route, avoidance, s + step).pose;
    const Point moved = here.pose.local(next.point());
    CHECK(std::hypot(moved.x, moved.y) / step == doctest::Approx(here.stretch).epsilon(1e-3));
    CHECK(std::abs(moved.y) < 1e-3 * step + 1e-6 * 1e-2);
  }
}

TEST_CASE("the ego keeps to the lane's middle but for the swing round parked cars") {
  test::for_all_drives([&](const Drive& drive) {
    for (const Moment& moment : drive.moments) {
      // The nearest place of the lane's middle, found without asking the simulation.
      double nearest = 1e9, at = 0;
      for (double s = moment.s - 6; s < moment.s + 6; s += 0.01) {
        const Point local = drive.route.path.pose(s).local(moment.ego.point());
        if (std::hypot(local.x, local.y) < nearest) nearest = std::hypot(local.x, local.y), at = s;
      }
      const double left = drive.route.path.pose(at).local(moment.ego.point()).y;
      CHECK(left > -0.01);
      CHECK(left < 2.3 + 0.01);
      bool beside = false;
      for (const Avoidance::Blocker& blocker : drive.scenery.avoidance.blockers()) {
        beside |= std::abs(at - blocker.s) < Avoidance::plateau + Avoidance::ramp_before;
      }
      if (!beside) CHECK(left < 0.01);
    }
  });
}

TEST_CASE("a parked car is passed at a distance, and slowly") {
  int passed = 0;
  test::for_all_drives([&](const Drive& drive) {
    for (const Avoidance::Blocker& blocker : drive.scenery.avoidance.blockers()) {
      const Pose parked = drive.route.path.pose(blocker.s, right_kerb + blocker.reach - car_width / 2);
      for (const Moment& moment : drive.moments) {
        if (std::abs(moment.s - blocker.s) > 30) continue;
        CHECK_FALSE(overlap(moment.ego, parked));
        if (std::abs(moment.s - blocker.s) < car_length / 2) {
          CHECK(moment.speed < 7.5 - 1.2 * blocker.reach + 0.5);
          ++passed;
        }
      }
      for (const Junction& junction : drive.route.junctions) {
        CHECK((blocker.s < junction.entry - 28 || blocker.s > junction.exit + 22));
      }
    }
  });
  CHECK(passed > 100);
}

TEST_CASE("the ego touches no car, and keeps a gap to the one that it follows") {
  double closest = 1e9;
  int seen = 0;
  test::for_all_drives([&](const Drive& drive) {
    for (const Moment& moment : drive.moments) {
      for (const VisibleCar& car : moment.cars) {
        CHECK_FALSE(overlap(moment.ego, car.pose));
        const Point local = moment.ego.local(car.pose.point());
        if (std::abs(local.y) < 0.5 && local.x > 0) closest = std::min(closest, local.x - car_length);
        ++seen;
      }
    }
  });
  CHECK(seen > 2000);
  CHECK(closest > 0.5);
  CHECK(closest < 3);  // cars are really followed and queued behind
}

TEST_CASE("the expert never passes a stop line at red, and does stop there") {
  int crossed = 0, yellow = 0, stopped = 0;
  test::for_all_drives([&](const Drive& drive) {
    for (const Signal& signal : drive.signals) {
      for (size_t i = 1; i < drive.moments.size(); ++i) {
        const Moment &a = drive.moments[i - 1], &b = drive.moments[i];
        const Light light = signal.state(b.time).light;
        if (b.speed < 0.2 && light == Light::red && signal.stop() > b.s && signal.stop() - b.s < 3) ++stopped;
        if (a.s >= signal.stop() || b.s < signal.stop()) continue;
        const double time = a.time + (b.time - a.time) * (signal.stop() - a.s) / (b.s - a.s);
        const Signal::State state = signal.state(time);
        CHECK(state.light != Light::red);
        ++crossed;
        yellow += state.light == Light::yellow;
      }
    }
  });
  CHECK(crossed > 30);
  CHECK(yellow > 0);
  INFO(crossed, " crossings, ", yellow, " at yellow; ", stopped, " moments waiting at red");
  CHECK(stopped > 20);
}

TEST_CASE("the ego drives no faster than the road allows") {
  test::for_all_drives([&](const Drive& drive) {
    const SpeedProfile profile(drive.route, drive.scenery.avoidance);
    for (const Moment& moment : drive.moments) {
      CHECK(moment.speed <= profile.at(moment.s) + 0.6);
      CHECK(profile.at(moment.s) <= moment.limit + 1e-9);
      const double bend = std::abs(drive.route.path.curvature(moment.s));
      CHECK(moment.speed * moment.speed * bend < 2.5 * 1.4);
    }
    for (double s = 1; s < 600; s += 0.5) {
      const double before = profile.at(s), after = profile.at(s + 0.5);
      CHECK(before * before <= after * after + 2 * 1.6 * 0.5 + 1e-9);
    }
  });
}

TEST_CASE("following: free road, a standing obstacle, and too fast") {
  CHECK(follow(0, 10, {}) == doctest::Approx(1.8));
  CHECK(follow(10, 10, {}) == doctest::Approx(0));
  CHECK(follow(8, 7, {}) <= -2.5);
  const Leader wall{.gap = 2, .speed = 0}, far{.gap = 500, .speed = 10};
  CHECK(follow(0, 10, {&wall, 1}) == doctest::Approx(0));
  CHECK(follow(10, 10, {&wall, 1}) == doctest::Approx(-5));
  CHECK(follow(5, 10, {&far, 1}) > 1.6);
  const std::array<Leader, 2> both = {far, wall};
  CHECK(follow(4, 10, both) == follow(4, 10, {&wall, 1}));
  // Driven up to a standing car, it stops some 2 m behind it.
  double s = 0, v = 10;
  for (int i = 0; i < 600; ++i) {
    const Leader standing{.gap = 80 - s, .speed = 0};
    const double next = next_speed(v, follow(v, 10, {&standing, 1}));
    s += (v + next) / 2 * step_seconds;
    v = next;
  }
  CHECK(80 - s > 1.5);
  CHECK(80 - s < 3.5);
}

TEST_CASE("signals: when a driver has to stop") {
  const std::vector<Signal> signals = {{.box = 103.7, .green = 10, .red = 8, .phase = 0}};  // stop line at 100
  CHECK(signals[0].state(9.9).light == Light::green);
  CHECK(signals[0].state(10.1).light == Light::yellow);
  CHECK(signals[0].state(10.5).remaining == doctest::Approx(1.5));
  CHECK(signals[0].state(12.1).light == Light::red);
  CHECK(signals[0].state(20.1).light == Light::green);
  CHECK_FALSE(signal_leader(signals, 5, 90, 8));  // green
  REQUIRE(signal_leader(signals, 15, 90, 8));     // red
  CHECK(signal_leader(signals, 15, 90, 8)->gap == doctest::Approx(11.2));
  CHECK_FALSE(signal_leader(signals, 15, 101, 8));    // passed
  CHECK_FALSE(signal_leader(signals, 15, 30, 8));     // far away
  CHECK_FALSE(signal_leader(signals, 10.1, 95, 10));  // yellow, cannot stop comfortably and passes in time
  CHECK(signal_leader(signals, 10.1, 70, 10));        // yellow, can stop
  CHECK(signal_leader(signals, 11.5, 85, 10));        // would need 3.3 m/s^2, but would pass at red
}

}  // namespace
}  // namespace bev::world
