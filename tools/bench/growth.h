// Whether cost grows as it should: step time against one size at a time, with the exponent that was measured beside the
// one that the work itself has.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/bench/bench_replica.h"
#include "tools/bench/machine_rates.h"
#include "tools/bench/scaling_model.h"

namespace bev {

struct GrowthReport {
  struct Point {
    int64_t size = 0;
    double seconds = 0;   // median of a step
    double expected = 0;  // of its work at the machine's own rates
  };
  struct Series {
    std::string name;
    std::vector<Point> points;
    double measured_exponent() const;
    double expected_exponent() const;
  };
  std::vector<Series> series;
  MachineRates machine;
};

/// Batch 1 to 64, and around `bench` the width, decoder layers and vision-language tokens. `steps` of each point are
/// timed.
GrowthReport measure_growth(const BenchCase& bench, int64_t steps);

std::string describe(const GrowthReport& report);
nlohmann::json to_json(const GrowthReport& report);

}  // namespace bev
