// Whether a configuration's model fits a device, the largest batch that does, and what a step should take there: from a
// dry run of the step, and rates that were measured.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "runtime/train/memory_plan.h"
#include "tools/common/probe_rates.h"
#include "tools/common/run_config.h"

namespace bev {

struct Fit {
  std::string device;           // "cuda:0"
  int64_t batch = 0;            // samples a replica and micro-step, as configured
  size_t needed = 0, free = 0;  // bytes
  bool fits = false;
  int64_t largest = 0;  // batch that fits; 0: none does
  WorkTally work;       // of a micro-step with its optimiser step
  double step_s = 0;    // estimated; 0 where no rates were measured
};

/// Products and convolutions at their rates, memory traffic of the other kernels at that of copies, and the cost of
/// every launch: one after the other, as on one stream. What kernels miss of these rates is not in it.
double estimated_seconds(const WorkTally& work, const DeviceRates& rates);

/// `free`: bytes that training may take. Nothing is allocated. `rates` may be null.
Fit fit_to_device(const RunConfig& run, Device& device, size_t free, const DeviceRates* rates);

std::string describe(const Fit& fit);
nlohmann::json to_json(const Fit& fit);

}  // namespace bev
