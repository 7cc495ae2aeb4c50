// Tensors between host and device, for set-up, files and tests: calls here wait until the copy is done. Where the
// device is the CPU nothing is copied that can be shared. On a dry stream nothing happens at all.
#pragma once

#include "runtime/device.h"
#include "runtime/tensor.h"

namespace bev {

/// The tensor's elements in host memory: the tensor itself where that is where it lies.
Tensor to_host(Device& device, const Stream& stream, const Tensor& tensor);

/// Writes `bytes` of host memory to device memory.
void write_to_device(Device& device, const Stream& stream, void* to, const void* from, size_t bytes);

/// Zeroes a tensor.
void zero(Device& device, const Stream& stream, const Tensor& tensor);

}  // namespace bev
