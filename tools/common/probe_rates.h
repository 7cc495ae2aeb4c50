// What gpu_probe --bench measures, through the interfaces that training uses: rates of a device when nothing but one
// thing is asked of it, and of the links among GPUs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/device.h"
#include "runtime/distributed/link_check.h"

namespace bev {

/// Each the best of several runs.
struct DeviceRates {
  double matmul_flop = 0;       // a second, in the device's precision; square matrices
  double matmul_bf16_flop = 0;  // the same with inputs rounded to bf16; 0 where that is not measured
  double convolution_flop = 0;  // a second, 3x3, forward
  double copy_bytes = 0;        // a second within the device, read and written
  double staging_bytes = 0;     // a second from pinned host memory; 0 on the CPU
  double launch_s = 0;          // seconds that each of many small kernels takes
};

/// A second or two, and 768 MB of the device's memory.
DeviceRates measure_rates(Device& device);
/// The same of a GPU, in TF32, and the product also in bf16.
DeviceRates measure_gpu(int ordinal);
/// All-reduce among GPUs, a replica each. Throws Error if a sum is wrong or a link is down.
LinkReport measure_links(const std::vector<int>& gpus);

/// "matmul 289.1 TFLOP/s, ..., copy 38.4 GB/s"
std::string describe(const DeviceRates& rates);
nlohmann::json to_json(const DeviceRates& rates);

}  // namespace bev
