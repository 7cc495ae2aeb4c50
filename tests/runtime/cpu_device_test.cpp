// The CPU as a Device, and what a program without CUDA answers about GPUs.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/launch.h"
#include "runtime/device.h"
#include "runtime/error.h"

namespace bev::test {

TEST_CASE("the CPU names itself and knows its memory") {
  const auto device = make_cpu_device();
  CHECK(device->kind() == DeviceKind::cpu);
  CHECK(device->text() == "cpu");
  CHECK(device->make_stream().kind == DeviceKind::cpu);
  const MemoryInfo memory = device->memory();
  CHECK(memory.total > size_t{1} << 28);
  CHECK(memory.free > 0);
  CHECK(memory.free <= memory.total);
}

TEST_CASE("the CPU's memory is aligned, copied and zeroed at once") {
  const auto device = make_cpu_device();
  const Stream stream = device->make_stream();
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{256}, size_t{1000}, (size_t{5} << 20) + 3}) {
    const auto memory = device->allocate(bytes), staging = device->allocate_staging(bytes);
    CHECK(reinterpret_cast<uintptr_t>(memory.get()) % 256 == 0);
    CHECK(reinterpret_cast<uintptr_t>(staging.get()) % 256 == 0);
    std::vector<unsigned char> host(bytes, 7), back(bytes, 1);
    device->copy(stream, memory.get(), host.data(), bytes);
    device->copy(stream, back.data(), memory.get(), bytes);
    CHECK(back == host);
    device->zero(stream, memory.get(), bytes);
    device->copy(stream, back.data(), memory.get(), bytes);
    CHECK(back == std::vector<unsigned char>(bytes, 0));
    device->synchronize(stream);
  }
}

TEST_CASE("on a dry stream memory stays as it is") {
  const auto device = make_cpu_device();
  int value = 3, other = 4;
  device->copy({.kind = DeviceKind::dry}, &value, &other, sizeof(int));
  device->zero({.kind = DeviceKind::dry}, &value, sizeof(int));
  CHECK(value == 3);
  CHECK_THROWS_AS(device->copy({.kind = DeviceKind::cuda}, &value, &other, sizeof(int)), Error);
}

TEST_CASE("events of the CPU have been reached") {
  const auto device = make_cpu_device();
  const Stream stream = device->make_stream();
  const auto event = device->make_event();
  CHECK(event->reached());
  event->record(stream);
  event->block(stream);
  event->synchronize();
  CHECK(event->reached());
}

TEST_CASE("the CPU says how much memory it could not give") {
  const auto device = make_cpu_device();
  for (const size_t bytes : {std::numeric_limits<size_t>::max() / 4, std::numeric_limits<size_t>::max()}) {
    std::string message;
    try {
      device->allocate(bytes);
    } catch (const Error& error) {
      message = error.what();
    }
    CHECK(message.find("were asked for") != std::string::npos);
    CHECK(message.find("are free") != std::string::npos);
  }
}

TEST_CASE("the CPU's engines compute") {
  const auto device = make_cpu_device();
  const Stream stream = device->make_stream();
  const float a[2] = {2, 3}, b[2] = {5, 7};
  float c = 0;
  device->make_matmul(stream)->run(stream, DType::f32, linear_shape(1, 1, 2), a, b, &c, 1, 0, nullptr);
  CHECK(c == 31);
  float y[2] = {};
  const ConvolutionShape shape{.n = 1, .h = 1, .w = 2, .c = 1, .k = 1, .r = 1, .s = 1};
  device->make_convolution(stream)->forward(stream, DType::f32, shape, a, b, y);
  CHECK(y[0] == 10);
  CHECK(y[1] == 15);
}

TEST_CASE("a program without CUDA says so when GPUs are asked for") {
  if (built_with_cuda) return;  // what such a program answers depends on the machine: tests of the CUDA side
  const CudaSurvey survey = survey_cuda();
  CHECK(survey.count == 0);
  CHECK(survey.reason == "built without CUDA");
  std::string message;
  try {
    make_cuda_device(0, {});
  } catch (const Error& error) {
    message = error.what();
    CHECK(error.kind() == ErrorKind::usage);
  }
  CHECK(message.find("cuda:0") != std::string::npos);
  CHECK(message.find("built without CUDA") != std::string::npos);
}

}  // namespace bev::test
