#include "data/world/traffic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace bev::world {

namespace {

constexpr double out_of_the_way = 10;  // metres after the entry: a car that turns off no longer blocks the lane
constexpr double oncoming_left = 3.8;
constexpr double out_of_sight = 35;  // metres to any side of the ego: no part of a car lies within the raster

}  // namespace

double next_speed(double v, double a) {
  const double next = std::max(0.0, v + a * step_seconds);
  return next < 0.05 && a <= 0 ? 0 : next;
}

Traffic::Traffic(const Surroundings& surroundings, double ego_s)
    : around_(surroundings), random_(surroundings.route.seed, surroundings.route.number, Purpose::traffic) {
  if (random_.chance(0.6 * around_.world.traffic)) spawn_ahead(ego_s + random_.uniform(12, 55));
  const int count = random_.poisson(2.5);
  for (int i = 0; i < count; ++i) {
    const double s = ego_s + random_.uniform(-30, 65), v = random_.uniform(3, 10);
    if (room_for_oncoming(s)) oncoming_.push_back({s, v, draw_height()});
  }
}

std::optional<Traffic::Ahead> Traffic::ahead(double ego_s) const {
  for (const Car& car : lane_) {
    if (car.s > ego_s) return Ahead{car.s, car.v, car.a};
  }
  return std::nullopt;
}

void Traffic::spawn_ahead(double s) {
  Car car{
      .s = s, .v = 0, .factor = random_.uniform(0.5, 1), .height = draw_height(), .decided = nullptr, .turn_off = {}};
  car.v = car.factor * around_.profile.at(s);
  // A junction that it is already near is passed on the route.
  if (const Junction* junction = around_.route.next_junction(s); junction && junction->entry - s < 20) {
    car.decided = junction;
  }
  lane_.insert(
      std::upper_bound(lane_.begin(), lane_.end(), s, [](double at, const Car& other) { return at < other.s; }), car);
}

bool Traffic::room_for_oncoming(double s) const {
  return std::none_of(oncoming_.begin(), oncoming_.end(),
                      [&](const Oncoming& other) { return std::abs(other.s - s) < 9; });
}

void Traffic::spawn(double time, double ego_s) {
  const Pose ego = around_.route.path.pose(ego_s);
  const auto hidden = [&](double s) {
    const Point place = ego.local(around_.route.path.pose(s).point());
    return std::max(std::abs(place.x), std::abs(place.y)) > out_of_sight + oncoming_left;
  };
  if (random_.chance(0.24 * around_.world.traffic * step_seconds)) {
    const double s = ego_s + random_.uniform(40, 60);
    const std::optional<Ahead> nearest = ahead(ego_s);
    if ((!nearest || nearest->s > ego_s + 60) && hidden(s)) spawn_ahead(s);
  }
  if (random_.chance(0.15 * step_seconds)) {
    const double s = ego_s + 65, v = random_.uniform(3, 10);
    if (room_for_oncoming(s) && hidden(s)) oncoming_.push_back({s, v, draw_height()});
  }
  for (Car& car : lane_) {
    if (time >= car.stop_until && random_.chance(around_.world.stops * step_seconds)) {
      car.stop_until = time + random_.uniform(3, 7);
    }
  }
}

void Traffic::choose_ways() {
  for (Car& car : lane_) {
    if (car.turn_off) continue;
    const Junction* junction = around_.route.next_junction(car.s);
    if (!junction || junction == car.decided || junction->entry - car.s > 45) continue;
    car.decided = junction;
    if (!random_.chance(0.35)) continue;
    std::array<Turn, 2> arms = {};
    int count = 0;
    for (const Turn arm : {Turn::left, Turn::right, Turn::straight}) {
      if (arm != junction->turn && junction->open(arm)) arms[static_cast<size_t>(count++)] = arm;
    }
    car.turn_off = arms[static_cast<size_t>(random_.below(count))];
  }
}

double Traffic::wanted_speed(const Car& car) const {
  const double road = car.factor * around_.profile.at(car.s + 0.3 * car.v);
  if (!car.turn_off) return road;
  const double bend = std::abs(turn_curvature(*car.turn_off)), before = car.decided->entry - car.s;
  const double turning = bend > 0 ? std::sqrt(2.5 / bend) : std::numeric_limits<double>::infinity();
  const double slowing = std::sqrt(turning * turning + 2 * 1.6 * std::max(0.0, before));
  if (before > 0) return std::min(road, slowing);
  return -before < turn_length(*car.turn_off) ? std::min(turning, 8.0) : 8.0;
}

double Traffic::acceleration(const Car& car, const Car* leader, double time) const {
  std::array<Leader, 2> leaders = {};
  size_t count = 0;
  if (leader) leaders[count++] = {leader->s - car.s - leader_length, leader->v};
  if (const auto signal = signal_leader(around_.signals, time, car.s, car.v)) leaders[count++] = *signal;
  const double a = follow(car.v, wanted_speed(car), {leaders.data(), count});
  return time < car.stop_until ? std::min(a, -2.0) : a;
}

void Traffic::step(double time, double ego_s) {
  spawn(time, ego_s);
  choose_ways();
  // All decide on what they see now, then all move.
  for (size_t i = 0; i < lane_.size(); ++i) {
    lane_[i].a = acceleration(lane_[i], i + 1 < lane_.size() ? &lane_[i + 1] : nullptr, time);
  }
  for (Car& car : leaving_) car.a = follow(car.v, wanted_speed(car), {});
  for (std::vector<Car>* cars : {&lane_, &leaving_}) {
    for (Car& car : *cars) {
      const double v = next_speed(car.v, car.a);
      const bool on_route = !car.turn_off || car.s < car.decided->entry;
      const double stretch = on_route ? road_pose(around_.route, around_.avoidance, car.s).stretch : 1;
      car.s += (car.v + v) / 2 * step_seconds / stretch;
      car.v = v;
    }
  }
  const auto gone = [](const Car& car) { return car.turn_off && car.s > car.decided->entry + out_of_the_way; };
  std::copy_if(lane_.begin(), lane_.end(), std::back_inserter(leaving_), gone);
  std::erase_if(lane_, [&](const Car& car) { return gone(car) || car.s > ego_s + 110; });
  std::erase_if(leaving_,
                [](const Car& car) { return car.s > car.decided->entry + turn_length(*car.turn_off) + arm_length; });
  move_oncoming(ego_s);
}

void Traffic::move_oncoming(double ego_s) {
  std::vector<double> speeds;
  for (const Oncoming& car : oncoming_) {
    double v = std::min(car.v, around_.profile.at(car.s));
    for (const Oncoming& other : oncoming_) {
      const double gap = car.s - other.s;
      if (gap > 0 && gap < 9) v = std::min({v, other.v, around_.profile.at(other.s)});
    }
    speeds.push_back(v);
  }
  for (size_t i = 0; i < oncoming_.size(); ++i) oncoming_[i].s -= speeds[i] * step_seconds;
  std::erase_if(oncoming_, [&](const Oncoming& car) { return car.s < ego_s - shown_along; });
}

Pose Traffic::pose(const Car& car) const {
  if (!car.turn_off || car.s < car.decided->entry) return road_pose(around_.route, around_.avoidance, car.s).pose;
  Path way(car.decided->start);
  way.add(turn_length(*car.turn_off), turn_curvature(*car.turn_off));
  return way.pose(car.s - car.decided->entry);
}

Pose Traffic::pose(const Oncoming& car) const {
  // They give way a little where cars on the other side swing round something, from before they meet until after.
  const auto swing = [&](double s) { return around_.avoidance.at(s).left; };
  const double widest = std::max({swing(car.s - 7), swing(car.s), swing(car.s + 7)});
  const double aside = 0.6 * std::clamp(2 * (widest - 1), 0.0, 1.0);
  Pose pose = around_.route.path.pose(car.s, oncoming_left + aside);
  pose.heading += std::numbers::pi;
  return pose;
}

std::vector<VisibleCar> Traffic::visible(double ego_s) const {
  std::vector<VisibleCar> cars;
  for (const std::vector<Car>* group : {&lane_, &leaving_}) {
    for (const Car& car : *group) {
      const double along = car.turn_off && car.s > car.decided->entry ? car.decided->middle() : car.s;
      if (std::abs(along - ego_s) <= shown_along) cars.push_back({pose(car), car.height});
    }
  }
  for (const Oncoming& car : oncoming_) {
    if (std::abs(car.s - ego_s) <= shown_along) cars.push_back({pose(car), car.height});
  }
  return cars;
}

}  // namespace bev::world
