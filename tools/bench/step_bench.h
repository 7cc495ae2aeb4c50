// How long a training step takes, where the time goes, and what share of the machine it uses.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tools/bench/bench_replica.h"
#include "tools/bench/machine_rates.h"
#include "tools/bench/scaling_model.h"
#include "tools/bench/statistics.h"

namespace bev {

struct StepOptions {
  int64_t steps = 10, warmup = 2;
};

struct StepReport {
  Spread step;                                              // seconds, nothing watched
  Spread waiting, forward, backward, reduction, optimizer;  // of further steps, each part waited for
  StepWork work;
  MachineRates machine;
  double loss = 0;  // of the last step

  double flop() const;
  /// Products and convolutions a second, over those of the machine's best large product.
  double share_of_matmul() const { return flop() / step.median / machine.best().flop_per_second; }
};

/// The time of steps alone, with nothing watched.
struct TimedStep {
  Spread step;  // seconds
  StepWork work;
};
TimedStep time_step(const BenchCase& bench, const StepOptions& options);

StepReport measure_step(const BenchCase& bench, const StepOptions& options);

std::string describe(const StepReport& report, const BenchCase& bench);
nlohmann::json to_json(const StepReport& report, const BenchCase& bench);

}  // namespace bev
