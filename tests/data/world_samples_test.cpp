// Samples of the generated world: the state as the policy defines it, waypoints in the present frame, tokens that say
// what they should, and how hard the set is for who sees neither raster nor tokens.
#include "data/world/samples.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>

#include "data/world/figures.h"
#include "data/world/raster.h"
#include "data/world/sample_picture.h"
#include "data/world/tokens.h"
#include "tests/data/world_drives.h"
#include "tests/support/temporary_folder.h"

namespace bev::world {
namespace {

float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

TEST_CASE("the state holds what happened, relative to the ego now") {
  const Drive& drive = test::drives(0)[2];
  const std::vector<Sample> samples = make_samples(drive, {});
  REQUIRE(samples.size() > 60);
  for (const Sample& sample : samples) {
    REQUIRE(sample.ego_status.size() == 4 * 14);
    REQUIRE(sample.agent_pos.size() == 6 * 2);
    const Moment& now = drive.moments[static_cast<size_t>(sample.moment)];
    for (int step = 0; step < 4; ++step) {
      const float* state = sample.ego_status.data() + 14 * step;
      const Moment& then = drive.moments[static_cast<size_t>(sample.moment - 3 + step)];
      CHECK(state[0] == doctest::Approx(then.speed));
      CHECK(state[1] == doctest::Approx(then.ego.heading - now.ego.heading).epsilon(1e-5));
      CHECK(state[2] >= 0);
      CHECK(state[2] * state[3] == 0);  // never both pedals
      float ones = 0;
      for (int i = 4; i < 10; ++i) ones += state[i];
      CHECK(ones == 1);
      CHECK(state[4 + static_cast<int>(drive.route.command(then.s))] == 1);
      CHECK(state[8] + state[9] == 0);  // no lane changes
      // Target and position, taken back to the world.
      const Point target = now.ego.at(state[10], state[11]), place = now.ego.at(state[12], state[13]);
      CHECK(target.x == doctest::Approx(drive.route.target(then.s).x).epsilon(1e-4));
      CHECK(target.y == doctest::Approx(drive.route.target(then.s).y).epsilon(1e-4));
      CHECK(std::hypot(place.x - then.ego.x, place.y - then.ego.y) < 1e-4);
    }
    const float* present = sample.ego_status.data() + 14 * 3;
    CHECK(present[1] == 0);
    CHECK(present[12] == 0);
    CHECK(present[13] == 0);
    for (int step = 0; step < 6; ++step) {
      const Point place = now.ego.at(sample.agent_pos[2 * static_cast<size_t>(step)],
                                     sample.agent_pos[2 * static_cast<size_t>(step) + 1]);
      const Moment& then = drive.moments[static_cast<size_t>(sample.moment + 1 + step)];
      CHECK(std::hypot(place.x - then.ego.x, place.y - then.ego.y) < 1e-4);
    }
  }
}

TEST_CASE("rasters are made for the moments that samples show, and for no other") {
  const Drive& drive = test::drives(0)[4];
  const std::vector<Sample> samples = make_samples(drive, {});
  std::set<size_t> shown;
  for (const Sample& sample : samples) {
    for (int back = 0; back < 4; ++back) shown.insert(static_cast<size_t>(sample.moment - back));
  }
  const auto rasters = make_rasters(drive, samples, {});
  REQUIRE(rasters.size() == drive.moments.size());
  for (size_t moment = 0; moment < rasters.size(); ++moment) {
    if (shown.count(moment) == 0) {
      CHECK(rasters[moment].empty());
    } else {
      std::vector<uint8_t> raster(3 * 64 * 64);
      render(drive, static_cast<int>(moment), 64, 64, raster.data());
      CHECK(rasters[moment] == raster);
    }
  }
  CHECK(rasters.back().empty());  // the last 3 s are only waypoints
}

TEST_CASE("of samples that stand still throughout, a quarter is kept, and no other is dropped") {
  Drive drive = test::drives(0)[0];
  std::vector<Moment> long_stop;
  for (int i = 0; i < 2000; ++i) {
    Moment moment = drive.moments[0];
    moment.speed = i % 400 < 390 ? 0 : 3;
    moment.cars.clear();
    long_stop.push_back(moment);
  }
  drive.moments = long_stop;
  int moving = 0, standing = 0;
  for (const Sample& sample : make_samples(drive, {})) {
    bool moves = false;
    for (int i = sample.moment - 3; i <= sample.moment + 6; ++i) moves |= long_stop[static_cast<size_t>(i)].speed > 0;
    (moves ? moving : standing) += 1;
  }
  int all_moving = 0, all_standing = 0;
  for (int now = 3; now + 6 < 2000; ++now) {
    bool moves = false;
    for (int i = now - 3; i <= now + 6; ++i) moves |= long_stop[static_cast<size_t>(i)].speed > 0;
    (moves ? all_moving : all_standing) += 1;
  }
  CHECK(moving == all_moving);
  CHECK(standing == doctest::Approx(0.25 * all_standing).epsilon(0.1));
}

TEST_CASE("tokens: the difference that a signal, a limit or a brake light makes is the same in all worlds") {
  Drive drive = test::drives(0)[0], other = test::drives(1)[1];
  const auto token = [](Drive& of, int type, int frame) {
    const Tokens tokens = make_tokens(of, frame);
    std::vector<float> values;
    for (int i = 0; i < token_width; ++i) values.push_back(from_bf16(tokens.vl[static_cast<size_t>(type * 32 + i)]));
    return values;
  };
  const auto difference = [&](Drive& of, int type, auto change) {
    Drive changed = of;
    change(changed.moments[10]);
    std::vector<float> a = token(of, type, 10);
    const std::vector<float> b = token(changed, type, 10);
    for (size_t i = 0; i < a.size(); ++i) a[i] = b[i] - a[i];
    return a;
  };
  for (Drive* each : {&drive, &other}) {
    each->moments[10].signal.reset();
    each->moments[10].limit = each->moments[10].limit_ahead = 10;
    each->moments[10].leader_brakes = false;
  }
  const auto red = [](Moment& moment) { moment.signal = Moment::SignalView{Light::red, 25}; };
  const auto green = [](Moment& moment) { moment.signal = Moment::SignalView{Light::green, 25}; };
  const auto slow = [](Moment& moment) { moment.limit = 7; };
  const auto brakes = [](Moment& moment) { moment.leader_brakes = true; };
  const auto length = [](const std::vector<float>& v) {
    double sum = 0;
    for (const float x : v) sum += x * x;
    return std::sqrt(sum);
  };
  const auto compare = [&](int type, auto change) {
    const std::vector<float> a = difference(drive, type, change), b = difference(other, type, change);
    CHECK(length(a) > 1.5);
    for (size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) < 0.05);  // bf16 rounding
    return a;
  };
  const std::vector<float> at_red = compare(0, red), at_green = compare(0, green);
  compare(1, slow);
  compare(2, brakes);
  std::vector<float> between = at_red;
  for (size_t i = 0; i < between.size(); ++i) between[i] -= at_green[i];
  CHECK(length(between) > 3);
  // What says nothing stays as it is.
  CHECK(length(difference(drive, 0, brakes)) == 0);
  CHECK(length(difference(drive, 5, red)) == 0);
  const Tokens tokens = make_tokens(drive, 10);
  CHECK(std::all_of(tokens.reasoning.begin() + 2 * token_width, tokens.reasoning.end(),
                    [](uint16_t bits) { return bits == 0; }));
  double near = 0;
  for (int i = 0; i < 2 * token_width; ++i) {
    near = std::max<double>(near, std::abs(from_bf16(tokens.reasoning[static_cast<size_t>(i)]) -
                                           from_bf16(tokens.vl[static_cast<size_t>(i)])));
  }
  CHECK(near > 0);
  CHECK(near < 0.5);
}

TEST_CASE("bf16 rounding is to nearest, ties to even") {
  CHECK(to_bf16(1.0f) == 0x3F80);
  CHECK(to_bf16(-2.5f) == 0xC020);
  CHECK(to_bf16(1.0f + 1.0f / 256) == 0x3F80);  // a tie, to even
  CHECK(to_bf16(1.0f + 3.0f / 256) == 0x3F82);  // a tie, to even
  CHECK(to_bf16(1.0f + 1.01f / 256) == 0x3F81);
  CHECK(std::isnan(from_bf16(to_bf16(std::nanf("")))));
}

TEST_CASE("figures: constant velocity, turn rate and mean trajectory, on cases done by hand") {
  const auto sample_of = [](std::vector<float> positions, float heading_before) {
    Sample sample;
    sample.ego_status.assign(4 * state_size, 0);
    sample.ego_status[2 * state_size + 1] = heading_before;
    sample.agent_pos = std::move(positions);
    sample.moment = 0;
    return sample;
  };
  Drive drive;
  drive.moments.resize(1);
  drive.moments[0].speed = 10;
  drive.moments[0].signal = Moment::SignalView{Light::red, 20};
  std::vector<float> straight, bend;
  for (int i = 1; i <= 6; ++i) {
    const double time = 0.5 * i, angle = 0.2 * time;
    straight.insert(straight.end(), {static_cast<float>(8 * time), 0});
    bend.insert(bend.end(), {static_cast<float>(50 * std::sin(angle)), static_cast<float>(50 * (1 - std::cos(angle)))});
  }
  const std::vector<Sample> samples = {sample_of(straight, 0), sample_of(bend, -0.1f)};
  Figures figures;
  CHECK(test::contains(test::error_of(ErrorKind::usage, [&] { figures.result(); }), "need samples"));
  figures.add_training(samples);
  figures.add_validation(drive, samples);
  const Figures::Result result = figures.result();
  const double bend_error = std::hypot(30 - bend[10], bend[11]);
  CHECK(result.constant_velocity.at[2] == doctest::Approx((6 + bend_error) / 2));
  CHECK(result.constant_velocity.at[0] == doctest::Approx((2 + std::hypot(10 - bend[2], bend[3])) / 2));
  CHECK(result.constant_turn_rate.at[2] == doctest::Approx(6.0 / 2));  // exact on the bend
  CHECK(result.mean_trajectory.at[2] == doctest::Approx(std::hypot(24 - bend[10], bend[11]) / 2));
  CHECK(result.stop_light_share == doctest::Approx(1));
  CHECK(result.easy_share == 0);
  CHECK(result.speed_max == 10);
}

TEST_CASE("the worlds are as hard as they were when they were calibrated, and as lively") {
  for (const char* name : {"balanced", "obstacle-rich"}) {
    Figures figures;
    for (uint32_t route = 0; route < 150; ++route) {
      const Drive drive = drive_route(world_settings(name), 21, route, 45);
      const std::vector<Sample> samples = make_samples(drive, {});
      figures.add_training(samples);
      figures.add_validation(drive, samples);
    }
    const Figures::Result result = figures.result();
    INFO(std::string(name), ", ", describe(result));
    // Measured on 500 routes of another seed: 1.57 and 1.62 m on average, and 0.37, 1.4 and 3.0 m at 1, 2 and 3 s.
    CHECK(result.constant_velocity.average() > 1.45);
    CHECK(result.constant_velocity.average() < 1.75);
    CHECK(result.constant_velocity.at[0] > 0.34);
    CHECK(result.constant_velocity.at[0] < 0.42);
    CHECK(result.constant_turn_rate.at[2] > result.constant_velocity.at[2]);
    CHECK(result.mean_trajectory.average() > 2 * result.constant_velocity.average());
    CHECK(result.easy_share > 0.15);
    CHECK(result.easy_share < 0.25);
    CHECK(result.along_3s > result.across_3s);  // mostly a matter of speed
    CHECK(result.speed_median > 4);
    CHECK(result.speed_median < 6.5);
    CHECK(result.speed_max > 9);
    CHECK(result.speed_max <= 14);
    CHECK(result.standing_share > 0.01);
    CHECK(result.standing_share < 0.05);
    CHECK(result.stop_light_share > 0.065);
    CHECK(result.stop_light_share < 0.12);
  }
}

TEST_CASE("a sample's picture") {
  const Drive& drive = test::drives(1)[0];
  const std::vector<Sample> samples = make_samples(drive, {});
  const auto rasters = make_rasters(drive, samples, {});
  const Sample& sample = samples[30];
  const Picture picture = sample_picture(drive, sample, rasters[static_cast<size_t>(sample.moment)].data(), 64, 64);
  CHECK(picture.width() == 512);
  CHECK(picture.height() > 512);
}

}  // namespace
}  // namespace bev::world
