// What gpu_probe prints of a machine, for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "runtime/probe.h"

namespace bev {

/// Versions, a line a GPU, the matrix of links and who reads whose memory; or why there is no GPU.
std::string describe(const CudaFacts& facts);
/// One line.
std::string describe(const CpuFacts& facts);

nlohmann::json to_json(const CudaFacts& facts);
nlohmann::json to_json(const CpuFacts& facts);

}  // namespace bev
