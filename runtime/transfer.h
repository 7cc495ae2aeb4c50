// Tensors between host and device, for set-up, files and tests. Where the device is the CPU nothing is copied that can
// be shared. On a dry stream nothing happens at all.
#pragma once

#include "runtime/device.h"
#include "runtime/tensor.h"

namespace bev {

/// The tensor's elements in host memory: the tensor itself where that is where it lies. Waits for the copy.
Tensor to_host(Device& device, const Stream& stream, const Tensor& tensor);

/// Writes `bytes` of host memory to device memory, and waits for that.
void write_to_device(Device& device, const Stream& stream, void* to, const void* from, size_t bytes);

/// Copies a tensor's elements within the device, in the stream's order.
void copy_elements(Device& device, const Stream& stream, const Tensor& to, const Tensor& from);

/// Zeroes a tensor, in the stream's order; nothing where it is undefined.
void zero(Device& device, const Stream& stream, const Tensor& tensor);

}  // namespace bev
