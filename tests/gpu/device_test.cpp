// The GPU as a Device: copies, events among streams, memory, refusals.
#include "runtime/device.h"

#include <doctest/doctest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/copy.h"
#include "kernels/launch.h"
#include "tests/support/gpu_context.h"
#include "tests/support/numbers.h"
#include "tests/support/temporary_folder.h"

namespace bev::test {

namespace {

/// So many that to write them takes far longer than to launch it.
int64_t many() { return int64_t{1} << (is_pretended() ? 16 : 24); }
size_t bytes_of_many() { return static_cast<size_t>(many()) * sizeof(float); }

void fill(const Stream& stream, void* memory, float value) {
  for_elements(stream, many(), Fill<float>{.out = static_cast<float*>(memory), .value = value});
}

}  // namespace

TEST_CASE("copies go to the device and back, and zero is zero") {
  GpuContext gpu(Precision::fp32);
  const Stream& stream = gpu.context.stream;
  std::vector<int32_t> numbers(100003), back(numbers.size(), -1);
  std::iota(numbers.begin(), numbers.end(), 1);
  const size_t bytes = numbers.size() * sizeof(int32_t);
  const auto memory = gpu.device->allocate(bytes), staging = gpu.device->allocate_staging(bytes);
  std::memcpy(staging.get(), numbers.data(), bytes);
  gpu.device->copy(stream, memory.get(), staging.get(), bytes);
  gpu.device->copy(stream, back.data(), memory.get(), bytes);
  gpu.device->synchronize(stream);
  CHECK(back == numbers);
  gpu.device->zero(stream, memory.get(), bytes);
  gpu.device->copy(stream, staging.get(), memory.get(), bytes);
  gpu.device->synchronize(stream);
  CHECK(static_cast<const int32_t*>(staging.get())[bytes / sizeof(int32_t) - 1] == 0);
  CHECK(reinterpret_cast<uintptr_t>(memory.get()) % 256 == 0);
  gpu.device->copy({.kind = DeviceKind::dry}, nullptr, nullptr, bytes);
  gpu.device->zero({.kind = DeviceKind::dry}, nullptr, bytes);
}

TEST_CASE("an event orders two streams, and asking for it too early spoils nothing") {
  GpuContext gpu(Precision::fp32);
  const Stream first = gpu.context.stream, second = gpu.device->make_stream();
  const auto memory = gpu.device->allocate(bytes_of_many()), copy = gpu.device->allocate(bytes_of_many());
  const auto event = gpu.device->make_event();
  for (int round = 1; round <= 20; ++round) {
    for (int i = 0; i < 50; ++i) fill(first, memory.get(), static_cast<float>(-i));
    fill(first, memory.get(), static_cast<float>(round));
    event->record(first);
    event->reached();  // most likely not, and the launches below must not be told so
    event->block(second);
    gpu.device->copy(second, copy.get(), memory.get(), bytes_of_many());
    fill(second, memory.get(), 0);
    event->record(second);
    event->synchronize();
    CHECK(event->reached());
    float last = 0;
    gpu.device->copy(second, &last, static_cast<float*>(copy.get()) + many() - 1, sizeof last);
    gpu.device->synchronize(second);
    CHECK(last == static_cast<float>(round));
  }
}

TEST_CASE("memory that is not there is refused in numbers, and the device goes on") {
  GpuContext gpu(Precision::fp32);
  const MemoryInfo before = gpu.device->memory();
  CHECK(before.total >= before.free);
  const std::string message = error_of(ErrorKind::runtime, [&] { gpu.device->allocate(before.total * 4); });
  CHECK(contains(message, "cuda:0"));
  CHECK(contains(message, "MiB are free"));
  const auto memory = gpu.device->allocate(bytes_of_many());
  fill(gpu.context.stream, memory.get(), 1);  // its check reads the thread's last error
  gpu.device->synchronize(gpu.context.stream);
}

TEST_CASE("a GPU that is not there is refused, and those that are there are named") {
  const std::string message = error_of(ErrorKind::usage, [] { make_cuda_device(survey_cuda().count, {}); });
  CHECK(contains(message, "0: "));
  CHECK_THROWS_AS(make_cuda_device(-1, {}), Error);
}

}  // namespace bev::test
