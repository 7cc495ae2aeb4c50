#include "data/world/drive.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "data/world/random.h"

namespace bev::world {

namespace {

constexpr double start_s = 33;  // behind the ego the raster is full of road from the first moment on

class Simulation {
 public:
  Simulation(const WorldSettings& world, Drive& drive)
      : drive_(drive),
        profile_(drive.route, drive.scenery.avoidance),
        traffic_({world, drive.route, drive.scenery.avoidance, profile_, drive.signals}, start_s) {
    Random random(drive.route.seed, drive.route.number, Purpose::ego);
    v_ = random.uniform(0.3, 1) * profile_.at(s_);
  }

  Moment look(double time) const {
    const Route& route = drive_.route;
    Moment now{.time = time,
               .s = s_,
               .ego = road_pose(route, drive_.scenery.avoidance, s_).pose,
               .speed = v_,
               .acceleration = 0,
               .command = route.command(s_),
               .target = route.target(s_),
               .signal = {},
               .limit = route.limit(s_),
               .limit_ahead = route.limit(s_ + 25),
               .leader_brakes = false,
               .cars = traffic_.visible(s_)};
    const Junction* junction = route.next_junction(s_);
    if (junction && junction->entry > s_ && junction->entry - s_ <= 50) {
      for (const Signal& signal : drive_.signals) {
        if (signal.box == junction->entry) now.signal = {signal.state(time).light, junction->entry - s_};
      }
    }
    if (const auto leader = traffic_.ahead(s_)) now.leader_brakes = leader->s - s_ < 45 && leader->a < -0.7;
    return now;
  }

  void step(double time) {
    std::array<Leader, 2> leaders = {};
    size_t count = 0;
    if (const auto car = traffic_.ahead(s_)) leaders[count++] = {car->s - s_ - Traffic::leader_length, car->v};
    if (const auto signal = signal_leader(drive_.signals, time, s_, v_)) leaders[count++] = *signal;
    const double a = follow(v_, profile_.at(s_ + 0.3 * v_), {leaders.data(), count});
    traffic_.step(time, s_);
    const double v = next_speed(v_, a);
    s_ += (v_ + v) / 2 * step_seconds / road_pose(drive_.route, drive_.scenery.avoidance, s_).stretch;
    v_ = v;
  }

 private:
  Drive& drive_;
  SpeedProfile profile_;
  Traffic traffic_;
  double s_ = start_s, v_ = 0;
};

}  // namespace

double throttle(double acceleration) { return std::clamp(acceleration / 2, 0.0, 1.0); }
double brake(double acceleration) { return std::clamp(0 - acceleration / 3, 0.0, 1.0); }

Drive drive_route(const WorldSettings& world, uint64_t seed, uint32_t number, double seconds) {
  Drive drive{
      .route = make_route(world, seed, number, 12 * seconds + 150), .scenery = {}, .signals = {}, .moments = {}};
  drive.scenery = make_scenery(world, drive.route);
  drive.signals = place_signals(drive.route);
  Simulation simulation(world, drive);
  const int frames = static_cast<int>(std::lround(seconds / frame_seconds));
  for (int step = 0; step <= frames * steps_a_frame; ++step) {
    const double time = step * step_seconds;
    if (step % steps_a_frame == 0) {
      Moment now = simulation.look(time);
      if (step > 0) now.acceleration = (now.speed - drive.moments.back().speed) / frame_seconds;
      drive.moments.push_back(std::move(now));
    }
    simulation.step(time);
  }
  return drive;
}

}  // namespace bev::world
