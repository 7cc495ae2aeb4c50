// The memory plan as a table: what is there from step to step, what lives from forward to backward, and what the worst
// moment needs beside that.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tools/bench/dry_step.h"

namespace bev {

struct MemoryReport {
  DryStep step;
  size_t free = 0;  // bytes on the device
  int64_t batch = 0, largest = 0;
};

MemoryReport plan_memory(const BenchCase& bench);

std::string describe(const MemoryReport& report);
nlohmann::json to_json(const MemoryReport& report);

}  // namespace bev
