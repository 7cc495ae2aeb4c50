#include "tools/common/probe_rates.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>

#include "kernels/copy.h"
#include "kernels/launch.h"
#include "runtime/distributed/replica_group.h"
#include "runtime/tally.h"
#include "tools/common/devices.h"

namespace bev {

namespace {

constexpr int64_t elements = int64_t{1} << 26;  // 256 MB: in no cache
constexpr int64_t link_bytes = int64_t{256} << 20;
constexpr double link_timeout_s = 60;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Bench {
 public:
  explicit Bench(Device& device)
      : device_(device), gpu_(device.kind() == DeviceKind::cuda), stream_(device.make_stream()) {
    device.make_current();
    for (auto& block : memory_) {
      block = device.allocate(elements * sizeof(float));
      for_elements(stream_, elements, Fill<float>{.out = static_cast<float*>(block.get()), .value = 0.5f});
    }
  }

  double matmul() const {
    const int64_t side = gpu_ ? 8192 : 1536;
    const MatmulShape shape = linear_shape(side, side, side);
    const auto engine = device_.make_matmul(stream_);
    return flop_of(shape) / seconds_of([&] { engine->run(stream_, DType::f32, shape, x(), w(), y(), 1, 0, nullptr); });
  }
  double convolution() const {
    const int64_t size = gpu_ ? 112 : 56, channels = 64;
    const ConvolutionShape shape{.n = gpu_ ? 32 : 8,
                                 .h = size,
                                 .w = size,
                                 .c = channels,
                                 .k = channels,
                                 .r = 3,
                                 .s = 3,
                                 .stride = 1,
                                 .padding = 1};
    const auto engine = device_.make_convolution(stream_);
    const int64_t wanted = engine->workspace(ConvolutionDirection::forward, shape);
    const std::shared_ptr<void> workspace = wanted > 0 ? device_.allocate(static_cast<size_t>(wanted)) : nullptr;
    return flop_of(shape) / seconds_of([&] {
             engine->lend(workspace.get(), wanted);
             engine->forward(stream_, DType::f32, shape, x(), w(), y());
           });
  }
  double copy() const {
    constexpr int64_t width = 4096;
    const CopyRows<float> kernel{.x = static_cast<const float*>(x()),
                                 .y = static_cast<float*>(y()),
                                 .width = width,
                                 .inner = elements / width,
                                 .x_outer = 0,
                                 .x_inner = width,
                                 .y_outer = 0,
                                 .y_inner = width,
                                 .accumulate = false};
    return 2.0 * sizeof(float) * elements / seconds_of([&] { for_rows(stream_, elements / width, width, kernel); });
  }
  double staging() const {
    if (!gpu_) return 0;
    constexpr size_t bytes = size_t{64} << 20;
    const auto host = device_.allocate_staging(bytes);
    return bytes / seconds_of([&] { device_.copy(stream_, x(), host.get(), bytes); });
  }
  double launch() const {
    constexpr int launches = 1000;
    const Fill<float> kernel{.out = static_cast<float*>(x()), .value = 0.5f};
    return seconds_of([&] {
             for (int i = 0; i < launches; ++i) for_elements(stream_, 1, kernel);
           }) /
           launches;
  }

 private:
  float* x() const { return static_cast<float*>(memory_[0].get()); }
  float* w() const { return static_cast<float*>(memory_[1].get()); }
  float* y() const { return static_cast<float*>(memory_[2].get()); }

  /// The best of some runs, behind one that lets libraries choose.
  double seconds_of(const std::function<void()>& work) const {
    work();
    double best = 0;
    for (int run = 0; run < (gpu_ ? 20 : 6); ++run) {
      device_.synchronize(stream_);
      const double begin = now_seconds();
      work();
      device_.synchronize(stream_);
      const double seconds = now_seconds() - begin;
      best = run == 0 ? seconds : std::min(best, seconds);
    }
    return best;
  }

  Device& device_;
  const bool gpu_;
  const Stream stream_;
  std::shared_ptr<void> memory_[3];
};

}  // namespace

DeviceRates measure_rates(Device& device) {
  const Bench bench(device);
  DeviceRates out;
  out.matmul_flop = bench.matmul();
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
  out.matmul_bf16_flop = Bench(*bf16).matmul();
  return out;
}

LinkReport measure_links(const std::vector<int>& gpus) {
  const DeviceChoice choice{.gpus = gpus};
  const auto meeting = meet(choice, "links");
  ReplicaGroup group(choice.replicas(), {.timeout_s = link_timeout_s});
  LinkReport out;
  group.run([&](int rank) {
    const auto device = make_device(choice, rank, {});
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
