#include "tools/common/rate_bench.h"

#include <algorithm>

#include "kernels/copy.h"
#include "kernels/launch.h"
#include "runtime/tally.h"
#include "tools/common/clock.h"

namespace bev {

namespace {

constexpr int64_t elements = int64_t{1} << 26;  // 256 MB: in no cache

}  // namespace

MatmulShape large_product(DeviceKind kind) {
  const int64_t side = kind == DeviceKind::cuda ? 8192 : 2048;
  return linear_shape(side, side, side);
}

RateBench::RateBench(Device& device)
    : device_(device), gpu_(device.kind() == DeviceKind::cuda), stream_(device.make_stream()) {
  device.make_current();
  for (auto& block : memory_) {
    block = device.allocate(elements * sizeof(float));
    for_elements(stream_, elements, Fill<float>{.out = static_cast<float*>(block.get()), .value = 0.5f});
  }
}

double RateBench::matmul(const MatmulShape& shape) const {
  const auto engine = device_.make_matmul(stream_);
  return flop_of(shape) / seconds_of([&] { engine->run(stream_, DType::f32, shape, x(), w(), y(), 1, 0, nullptr); });
}

double RateBench::convolution() const {
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
  const int64_t bytes = engine->workspace(ConvolutionDirection::forward, shape);
  const auto workspace = bytes > 0 ? device_.allocate(static_cast<size_t>(bytes)) : nullptr;
  return flop_of(shape) / seconds_of([&] {
           engine->lend(workspace.get(), bytes);
           engine->forward(stream_, DType::f32, shape, x(), w(), y());
         });
}

double RateBench::copy() const {
  constexpr int64_t width = 4096;
  const CopyRows<float> kernel{.x = x(),
                               .y = y(),
                               .width = width,
                               .inner = elements / width,
                               .x_outer = 0,
                               .x_inner = width,
                               .y_outer = 0,
                               .y_inner = width,
                               .accumulate = false};
  return 2.0 * sizeof(float) * elements / seconds_of([&] { for_rows(stream_, elements / width, width, kernel); });
}

double RateBench::staging() const {
  if (!gpu_) return 0;
  constexpr size_t bytes = size_t{64} << 20;
  const auto host = device_.allocate_staging(bytes);
  return bytes / seconds_of([&] { device_.copy(stream_, x(), host.get(), bytes); });
}

double RateBench::launch() const {
  constexpr int launches = 1000;
  const Fill<float> kernel{.out = x(), .value = 0.5f};
  return seconds_of([&] {
           for (int i = 0; i < launches; ++i) for_elements(stream_, 1, kernel);
         }) /
         launches;
}

double RateBench::seconds_of(const std::function<void()>& work) const {
  work();
  double best = 0;
  for (int run = 0; run < (gpu_ ? 20 : 7); ++run) {
    device_.synchronize(stream_);
    const double begin = now_seconds();
    work();
    device_.synchronize(stream_);
    const double seconds = now_seconds() - begin;
    best = run == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

}  // namespace bev
