// Numbers in and out of tensors, whatever device and type a context computes on: for cases that run on several. All
// wait until the copy is done.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/context.h"
#include "runtime/device.h"

namespace bev::test {

/// The device that the context's stream is of.
std::unique_ptr<Device> device_of(const Context& context);

/// Writes to / reads from a tensor of type F32 or F64.
void write_numbers(const Context& context, const Tensor& to, const std::vector<double>& numbers);
std::vector<double> read_numbers(const Context& context, const Tensor& from);

/// A constant in the context's type: element i is value(i).
Tensor constant(Context& context, const Shape& shape, const std::function<double(int64_t)>& value);
Tensor constant(Context& context, const Shape& shape, const std::vector<double>& numbers);
/// A constant of bytes, such as a mask; or of integers, such as diffusion times.
Tensor constant_bytes(Context& context, const Shape& shape, const std::vector<uint8_t>& bytes);
Tensor constant_integers(Context& context, const std::vector<int64_t>& integers);

}  // namespace bev::test
