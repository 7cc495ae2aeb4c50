// A Context on a GPU, the first unless told, for tests that run where there is one.
#pragma once

#include <memory>

#include "runtime/context.h"
#include "runtime/device.h"
#include "runtime/probe.h"
#include "runtime/transfer.h"

namespace bev::test {

/// Whether the first GPU is one of tests/fake_gpu, where what takes a millisecond takes a second: what tests do again and
/// again, or at sizes that are to keep a GPU busy, they do less of there.
inline bool is_pretended() {
  static const bool out = probe_cuda().gpus.at(0).name == "pretended GPU";
  return out;
}

class GpuContext {
 public:
  explicit GpuContext(Precision precision, size_t capacity = size_t{1} << 30, int ordinal = 0)
      : device(make_cuda_device(ordinal, {.precision = precision, .cache_directory = ""})),
        stream_(device->make_stream()),
        state_(device->allocate(sizeof(StepState))),
        context(stream_, make_arena(*device, capacity), device->make_matmul(stream_), device->make_convolution(stream_),
                static_cast<const StepState*>(state_.get()), DType::f32) {
    write_state({.seed = 7});  // as a CpuContext's
  }

  void write_state(const StepState& state) {
    write_to_device(*device, context.stream, state_.get(), &state, sizeof state);
  }

  const std::unique_ptr<Device> device;

 private:
  static std::shared_ptr<Arena> make_arena(Device& device, size_t capacity) {
    const std::shared_ptr<void> memory = device.allocate(capacity);
    return Arena::over(memory.get(), capacity, memory);
  }

  const Stream stream_;
  const std::shared_ptr<void> state_;

 public:
  Context context;
};

}  // namespace bev::test
