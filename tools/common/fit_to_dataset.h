// Brings a configuration and a data set together: sizes that the data knows are taken from it, and one that was
// configured otherwise is an error; ranges and statistics come from the data unless they were given.
#pragma once

#include <vector>

#include "data/dataset.h"
#include "tools/common/run_config.h"

namespace bev {

/// `dataset` is the training set. Throws Error(data) naming the key, what it says and what the data set holds.
void fit_to_dataset(ConfiguredRun& run, const Dataset& dataset);

/// The mean of all samples' trajectories, [H, 2] in metres: what a predictor says that knows the data set alone.
std::vector<double> mean_trajectory(const Dataset& dataset);

}  // namespace bev
