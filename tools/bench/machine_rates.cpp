#include "tools/bench/machine_rates.h"

#include <algorithm>

#include "tools/common/rate_bench.h"

namespace bev {

const MachineRates::Product& MachineRates::best() const {
  return *std::max_element(products.begin(), products.end(),
                           [](const Product& a, const Product& b) { return a.flop_per_second < b.flop_per_second; });
}

MachineRates measure_machine(Device& device) {
  const RateBench bench(device);
  MachineRates out;
  for (const MatmulShape& shape : {large_product(device.kind()), linear_shape(4096, 1024, 2560)}) {
    out.products.push_back({fmt::format("{} x {} x {}", shape.m, shape.n, shape.k), bench.matmul(shape)});
  }
  out.bytes_per_second = bench.copy();
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
