// Every launch of a training step by itself: kernels against the bytes that they have to move, matrix products and
// convolutions against their arithmetic, each beside what the machine reaches in the same run when nothing else is
// asked of it. What lies in a cache may beat the copy, which lies in none.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/bench/bench_replica.h"
#include "tools/bench/machine_rates.h"
#include "tools/bench/statistics.h"

namespace bev {

/// All launches of one kernel, or all calls with one shape, in one step.
struct LaunchGroup {
  std::string name;
  int64_t launches = 0;
  double seconds = 0;          // sum over the launches of each one's median over the steps
  double bytes = 0, flop = 0;  // sums over the launches
};

struct KernelReport {
  std::string of;                                            // "a training step"
  Spread step;                                               // seconds, while every launch is timed
  std::vector<LaunchGroup> kernels, products, convolutions;  // each with the longest first
  MachineRates machine;
};

struct KernelOptions {
  int64_t steps = 5, warmup = 2;
  bool validation = false;  // a validation batch, which samples trajectories, in the place of a training step
};

KernelReport measure_kernels(const BenchCase& bench, const KernelOptions& options);

std::string describe(const KernelReport& report, const BenchCase& bench);
nlohmann::json to_json(const KernelReport& report, const BenchCase& bench);

}  // namespace bev
