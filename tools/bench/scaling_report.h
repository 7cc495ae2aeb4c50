// The prediction of scaling_model.h for 1, 2, 4, ... GPUs, with all that it assumes, and by how much the answer moves
// when one assumption is halved or doubled.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tools/bench/scaling_model.h"

namespace bev {

struct ScalingReport {
  int64_t batch = 0;  // samples a GPU
  double bucket_bytes = 0, gradient_bytes = 0;
  MachineModel machine;
  std::string origin = "as given";  // where the machine's rates come from
  std::vector<ScalingResult> results = {};
  struct Sensitivity {
    std::string what;
    double halved = 0, doubled = 0;  // the speed-up of the most GPUs
  };
  std::vector<Sensitivity> sensitivities = {};  // the one that matters most first
};

ScalingReport report_scaling(const MachineModel& machine, const StepWork& work, int64_t batch, double bucket_bytes,
                             int gpus);

std::string describe(const ScalingReport& report);
nlohmann::json to_json(const ScalingReport& report);

}  // namespace bev
