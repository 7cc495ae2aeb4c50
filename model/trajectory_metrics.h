// How far predicted trajectories are from what was driven, beside two predictors that do not look.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/train/task.h"

namespace bev {

/// Adds one sample's distances to `sums` (names: see PolicyTask::validate). `predicted` and `driven` are [H, 2] in
/// metres, x forward, at 2 Hz from 0.5 s on; `speed` is the present one in m/s; `mean_trajectory` [H, 2] or empty.
void add_trajectory_metrics(std::span<const double> predicted, std::span<const double> driven, double speed,
                            std::span<const double> mean_trajectory, MetricSums& sums);

/// Straight on at `speed`, [H, 2].
std::vector<double> constant_velocity(double speed, int64_t horizon);

}  // namespace bev
