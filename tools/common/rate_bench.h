// One thing at a time, asked of a device through the interfaces that training uses: the rates that everything else is a
// share of. Each is the best of several runs, behind one that lets libraries choose.
#pragma once

#include <functional>
#include <memory>

#include "runtime/device.h"

namespace bev {

class RateBench {
 public:
  /// Takes 768 MB of the device's memory. The device outlives this.
  explicit RateBench(Device& device);

  /// FLOP/s of a product in the device's precision, of at most 2^26 elements each.
  double matmul(const MatmulShape& shape) const;
  /// FLOP/s of a 3x3 convolution of 64 channels, forward.
  double convolution() const;
  /// Bytes a second of a large copy by a kernel, read and written.
  double copy() const;
  /// Bytes a second from pinned host memory; 0 on the CPU.
  double staging() const;
  /// Seconds that each of many small kernels takes.
  double launch() const;

 private:
  float* x() const { return static_cast<float*>(memory_[0].get()); }
  float* w() const { return static_cast<float*>(memory_[1].get()); }
  float* y() const { return static_cast<float*>(memory_[2].get()); }
  double seconds_of(const std::function<void()>& work) const;

  Device& device_;
  const bool gpu_;
  const Stream stream_;
  std::shared_ptr<void> memory_[3];
};

/// A square product large enough for a device of this kind to show what it can.
MatmulShape large_product(DeviceKind kind);

}  // namespace bev
