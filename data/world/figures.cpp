#include "data/world/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace bev::world {

namespace {

constexpr std::array<int, 3> reported = {1, 3, 5};  // waypoints at 1, 2 and 3 s

/// Where a car is after `time` at constant speed and turn rate, in its frame now.
Point turning(double speed, double turn_rate, double time) {
  const double angle = turn_rate * time;
  if (std::abs(angle) < 1e-6) return {speed * time, 0};
  const double radius = speed / turn_rate;
  return {radius * std::sin(angle), radius * (1 - std::cos(angle))};
}

double distance(Point guess, const std::vector<float>& truth, int waypoint) {
  const auto i = 2 * static_cast<size_t>(waypoint);
  return std::hypot(guess.x - truth[i], guess.y - truth[i + 1]);
}

}  // namespace

void Figures::add_training(const std::vector<Sample>& samples) {
  for (const Sample& sample : samples) {
    mean_.resize(sample.agent_pos.size());
    for (size_t i = 0; i < mean_.size(); ++i) mean_[i] += sample.agent_pos[i];
    ++training_;
  }
}

void Figures::add_validation(const Drive& drive, const std::vector<Sample>& samples) {
  for (const Sample& sample : samples) {
    const Moment& moment = drive.moments[static_cast<size_t>(sample.moment)];
    const size_t steps = sample.ego_status.size() / state_size;
    const double before = steps > 1 ? sample.ego_status[(steps - 2) * state_size + 1] : 0;
    rows_.push_back({.truth = sample.agent_pos,
                     .speed = moment.speed,
                     .turn_rate = -before / frame_seconds,
                     .stop_light = moment.signal && moment.signal->light != Light::green,
                     .brake_light = moment.leader_brakes});
  }
}

Figures::Result Figures::result() const {
  if (rows_.empty() || training_ == 0) fail(ErrorKind::usage, "figures need samples of training and of validation");
  if (mean_.size() < 2 * (reported.back() + 1)) fail(ErrorKind::usage, "figures need waypoints up to 3 s");
  Result result;
  const auto share = 1 / static_cast<double>(rows_.size());
  std::vector<double> speeds, errors;
  for (const Row& row : rows_) {
    std::array<double, 3> constant = {};
    for (size_t k = 0; k < reported.size(); ++k) {
      const double time = (reported[k] + 1) * frame_seconds;
      const auto i = 2 * static_cast<size_t>(reported[k]);
      const Point mean{mean_[i] / static_cast<double>(training_), mean_[i + 1] / static_cast<double>(training_)};
      constant[k] = distance({row.speed * time, 0}, row.truth, reported[k]);
      result.constant_velocity.at[k] += share * constant[k];
      result.constant_turn_rate.at[k] +=
          share * distance(turning(row.speed, row.turn_rate, time), row.truth, reported[k]);
      result.mean_trajectory.at[k] += share * distance(mean, row.truth, reported[k]);
    }
    const auto last = 2 * static_cast<size_t>(reported.back());
    result.along_3s += share * std::abs(row.truth[last] - row.speed * 3);
    result.across_3s += share * std::abs(row.truth[last + 1]);
    if (constant[2] < 1) {
      result.easy_share += share;
      for (size_t k = 0; k < reported.size(); ++k) result.easy.at[k] += share * constant[k];
    }
    speeds.push_back(row.speed);
    errors.push_back(constant[2]);
    result.standing_share += row.speed < 0.1 ? share : 0;
    result.stop_light_share += row.stop_light ? share : 0;
    result.brake_light_share += row.brake_light ? share : 0;
  }
  if (result.easy_share > 0) {
    for (double& error : result.easy.at) error /= result.easy_share;
  }
  std::sort(speeds.begin(), speeds.end());
  std::sort(errors.begin(), errors.end());
  result.samples = static_cast<int64_t>(rows_.size());
  result.speed_median = speeds[speeds.size() / 2];
  result.speed_max = speeds.back();
  result.median_error_3s = errors[errors.size() / 2];
  return result;
}

std::string describe(const Figures::Result& figures) {
  std::string text =
      fmt::format("validation, {} samples: mean error at 1, 2, 3 s and their mean [m]\n", figures.samples);
  const auto row = [&](const char* name, const Errors& errors) {
    text += fmt::format("  {:<20} {:6.3f} {:6.3f} {:6.3f}  {:6.3f}\n", name, errors.at[0], errors.at[1], errors.at[2],
                        errors.average());
  };
  row("constant velocity", figures.constant_velocity);
  row("constant turn rate", figures.constant_turn_rate);
  row("mean trajectory", figures.mean_trajectory);
  text += fmt::format(
      "  constant velocity at 3 s: median {:.2f} m, along {:.2f} m, across {:.2f} m; within 1 m on {:.1f} % ({:.3f} "
      "m)\n",
      figures.median_error_3s, figures.along_3s, figures.across_3s, 100 * figures.easy_share, figures.easy.average());
  text += fmt::format(
      "  speed median {:.1f} m/s, largest {:.1f} m/s; standing {:.1f} %; yellow or red ahead {:.1f} %; brake lights "
      "ahead {:.1f} %\n",
      figures.speed_median, figures.speed_max, 100 * figures.standing_share, 100 * figures.stop_light_share,
      100 * figures.brake_light_share);
  return text;
}

}  // namespace bev::world
