// What this machine reaches when nothing but one thing is asked of it: the rates that everything else is a share of.
#pragma once

#include <string>
#include <vector>

#include "runtime/device.h"

namespace bev {

struct MachineRates {
  struct Product {
    std::string shape;
    double flop_per_second = 0;
  };
  std::vector<Product> products;  // each the best of several
  double bytes_per_second = 0;    // of a large copy by a kernel, read and written
  const Product& best() const;
};

/// Runs large products and a large copy on the device, each several times; the best time counts. A second or two.
MachineRates measure_machine(Device& device);

/// "matmul 289.1 GFLOP/s (4096 x 1024 x 2560), copy 38.4 GB/s".
std::string describe(const MachineRates& rates);

}  // namespace bev
