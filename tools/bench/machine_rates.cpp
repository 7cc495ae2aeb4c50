#include "tools/bench/machine_rates.h"

#include <algorithm>
#include <array>
#include <functional>

#include "kernels/copy.h"
#include "kernels/launch.h"
#include "tools/bench/clock.h"

namespace bev {

namespace {

double best_seconds(Device& device, const Stream& stream, int times, const std::function<void()>& work) {
  work();
  double best = 1e30;
  for (int i = 0; i < times; ++i) {
    device.synchronize(stream);
    const double begin = now_seconds();
    work();
    device.synchronize(stream);
    best = std::min(best, now_seconds() - begin);
  }
  return best;
}

}  // namespace

const MachineRates::Product& MachineRates::best() const {
  return *std::max_element(products.begin(), products.end(),
                           [](const Product& a, const Product& b) { return a.flop_per_second < b.flop_per_second; });
}

MachineRates measure_machine(Device& device) {
  const Stream stream = device.make_stream();
  const auto matmul = device.make_matmul(stream);
  const bool gpu = device.kind() == DeviceKind::cuda;
  const int64_t large = gpu ? 8192 : 2048;
  const int times = gpu ? 20 : 7;
  constexpr int64_t elements = int64_t{1} << 26;  // 256 MB: in no cache
  const std::shared_ptr<void> a = device.allocate(elements * 4), b = device.allocate(elements * 4),
                              c = device.allocate(elements * 4);
  for (const auto& memory : {a, b, c}) device.zero(stream, memory.get(), elements * 4);
  for (const auto& memory : {a, b}) {
    for_elements(stream, elements, Fill<float>{.out = static_cast<float*>(memory.get()), .value = 0.5f});
  }

  MachineRates out;
  for (const auto& [rows, cols, depth] : {std::array{large, large, large}, std::array<int64_t, 3>{4096, 1024, 2560}}) {
    const MatmulShape shape = linear_shape(rows, cols, depth);
    const double seconds = best_seconds(device, stream, times, [&] {
      matmul->run(stream, DType::f32, shape, a.get(), b.get(), c.get(), 1, 0, nullptr);
    });
    out.products.push_back({fmt::format("{} x {} x {}", rows, cols, depth),
                            2.0 * static_cast<double>(rows) * static_cast<double>(cols * depth) / seconds});
  }
  constexpr int64_t width = 4096;
  const CopyRows<float> copy{.x = static_cast<const float*>(a.get()),
                             .y = static_cast<float*>(c.get()),
                             .width = width,
                             .inner = elements / width,
                             .x_outer = 0,
                             .x_inner = width,
                             .y_outer = 0,
                             .y_inner = width,
                             .accumulate = false};
  const double seconds = best_seconds(device, stream, times, [&] { for_rows(stream, elements / width, width, copy); });
  out.bytes_per_second = 2.0 * 4 * elements / seconds;
  return out;
}

std::string describe(const MachineRates& rates) {
  std::string text;
  for (const auto& product : rates.products) {
    text += fmt::format("matmul {:.1f} GFLOP/s ({}), ", product.flop_per_second * 1e-9, product.shape);
  }
  return text + fmt::format("copy {:.1f} GB/s", rates.bytes_per_second * 1e-9);
}

}  // namespace bev
