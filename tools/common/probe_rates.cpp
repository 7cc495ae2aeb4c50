#include "tools/common/probe_rates.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "runtime/distributed/replica_group.h"
#include "tools/common/devices.h"
#include "tools/common/rate_bench.h"

namespace bev {

namespace {

constexpr int64_t link_bytes = int64_t{256} << 20;
constexpr double link_timeout_s = 60;

}  // namespace

DeviceRates measure_rates(Device& device) {
  const RateBench bench(device);
  DeviceRates out;
  out.matmul_flop = bench.matmul(large_product(device.kind()));
  out.convolution_flop = bench.convolution();
  out.copy_bytes = bench.copy();
  out.staging_bytes = bench.staging();
  out.launch_s = bench.launch();
  return out;
}

DeviceRates measure_gpu(int ordinal) {
  const auto tf32 = make_cuda_device(ordinal, {.precision = Precision::tf32, .cache_directory = ""});
  DeviceRates out = measure_rates(*tf32);
  const auto bf16 = make_cuda_device(ordinal, {.precision = Precision::bf16, .cache_directory = ""});
  out.matmul_bf16_flop = RateBench(*bf16).matmul(large_product(bf16->kind()));
  return out;
}

LinkReport measure_links(const std::vector<int>& gpus) {
  const DeviceChoice choice{.gpus = gpus};
  const auto meeting = meet(choice, "links");
  ReplicaGroup group(choice.replicas(), {.timeout_s = link_timeout_s});
  LinkReport out;
  group.run([&](int rank) {
    const auto device = make_device(choice, rank, {.autotune_cache = ""});
    device->make_current();
    const auto communicator = group.connect(rank, meeting, *device);
    LinkReport report = check_links(*communicator, group.host(rank), *device, link_bytes);
    if (rank == 0) out = std::move(report);
  });
  return out;
}

std::string describe(const DeviceRates& rates) {
  std::string out = fmt::format("matmul {:.2f} TFLOP/s", rates.matmul_flop * 1e-12);
  if (rates.matmul_bf16_flop > 0) out += fmt::format(" (TF32), {:.2f} (bf16)", rates.matmul_bf16_flop * 1e-12);
  out += fmt::format(", convolution {:.2f} TFLOP/s, copy {:.1f} GB/s", rates.convolution_flop * 1e-12,
                     rates.copy_bytes * 1e-9);
  if (rates.staging_bytes > 0) out += fmt::format(", from the host {:.1f} GB/s", rates.staging_bytes * 1e-9);
  return out + fmt::format(", {:.2f} us a launch", rates.launch_s * 1e6);
}

nlohmann::json to_json(const DeviceRates& rates) {
  return {{"matmul_flop_per_s", rates.matmul_flop},
          {"matmul_bf16_flop_per_s", rates.matmul_bf16_flop},
          {"convolution_flop_per_s", rates.convolution_flop},
          {"copy_bytes_per_s", rates.copy_bytes},
          {"host_to_device_bytes_per_s", rates.staging_bytes},
          {"launch_s", rates.launch_s}};
}

}  // namespace bev
