// Figures of a generated set: how hard it is for three predictors that know neither raster nor tokens, and how its
// drives are. A learnt policy is compared with them.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "data/world/samples.h"

namespace bev::world {

/// Mean distances to the true position at 1, 2 and 3 s, metres.
struct Errors {
  std::array<double, 3> at = {};
  double average() const { return (at[0] + at[1] + at[2]) / 3; }
};

class Figures {
 public:
  /// The mean trajectory is that of the samples added to `train`.
  void add_training(const std::vector<Sample>& samples);
  void add_validation(const Drive& drive, const std::vector<Sample>& samples);

  struct Result {
    int64_t samples = 0;
    Errors constant_velocity, constant_turn_rate, mean_trajectory;
    Errors easy;                         // constant velocity, where it is within 1 m at 3 s
    double easy_share = 0;               // of all samples
    double median_error_3s = 0;          // of constant velocity
    double along_3s = 0, across_3s = 0;  // its mean absolute error along and across the heading
    double speed_median = 0, speed_max = 0;
    double standing_share = 0;    // slower than 0.1 m/s now
    double stop_light_share = 0;  // yellow or red within 50 m ahead
    double brake_light_share = 0;
  };
  /// Throws Error(ErrorKind::usage) if either set has no samples, or trajectories shorter than 3 s.
  Result result() const;

 private:
  struct Row {
    std::vector<float> truth;
    double speed, turn_rate;
    bool stop_light, brake_light;
  };
  std::vector<Row> rows_;
  std::vector<double> mean_;  // sums
  int64_t training_ = 0;
};

/// For people, several lines.
std::string describe(const Figures::Result& figures);

}  // namespace bev::world
