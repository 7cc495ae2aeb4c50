// How fast trajectories are sampled: many at once, and one alone.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/bench/bench_replica.h"
#include "tools/bench/statistics.h"

namespace bev {

struct SampleReport {
  struct Row {
    int64_t steps = 0;  // of diffusion
    Spread batch, one;  // seconds for a batch, and for one trajectory
  };
  int64_t batch = 0;
  std::vector<Row> rows;
};

/// For each number of diffusion steps, `repeats` times after one that does not count. From the observation in device
/// memory to trajectories in metres there.
SampleReport measure_sampling(const BenchCase& bench, const std::vector<int64_t>& steps, int64_t repeats);

std::string describe(const SampleReport& report);
nlohmann::json to_json(const SampleReport& report);

}  // namespace bev
