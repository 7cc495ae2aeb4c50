#include "tools/common/devices.h"

#include <doctest/doctest.h>

#include "runtime/device.h"
#include "runtime/error.h"

namespace bev {

TEST_CASE("GPUs are named by numbers, ranges, lists, or all") {
  CHECK(parse_gpus("0-3", 8) == std::vector{0, 1, 2, 3});
  CHECK(parse_gpus("0,2,5", 8) == std::vector{0, 2, 5});
  CHECK(parse_gpus("0,0", 1) == std::vector{0, 0});
  CHECK(parse_gpus("1,4-6", 8) == std::vector{1, 4, 5, 6});
  CHECK(parse_gpus("all", 2) == std::vector{0, 1});
  for (const char* wrong : {"", "a", "3-1", "1-", "-1", "1,,2", "0x"}) CHECK_THROWS_AS(parse_gpus(wrong, 8), Error);
  CHECK_THROWS_WITH_AS(parse_gpus("x", 8), "--gpus x: expected numbers such as 0-7 or 0,2,5, or all", Error);
  CHECK_THROWS_WITH_AS(parse_gpus("3-1", 8, "--device cuda:"), "--device cuda:3-1: 3-1 counts backwards", Error);
}

TEST_CASE("the CPU is chosen when asked for, with as many replicas as asked for") {
  const auto silent = [](const std::string&) {};
  const DeviceChoice one = choose_devices({.gpus = "", .device = "cpu"}, {0}, silent);
  CHECK(one.gpus.empty());
  CHECK(one.replicas() == 1);
  CHECK(choose_devices({.gpus = "", .device = "cpu", .replicas = 3}, {0}, silent).replicas() == 3);
  CHECK_THROWS_AS(choose_devices({.gpus = "0", .device = "cpu"}, {0}, silent), Error);
  CHECK_THROWS_AS(choose_devices({.gpus = "", .device = "tpu"}, {0}, silent), Error);
  CHECK_THROWS_AS(choose_devices({.gpus = "", .device = "cpu", .replicas = 65}, {0}, silent), Error);
}

TEST_CASE("the CPU multiplies in bf16 where that is said, for mixed precision and at tf32 only where it gains") {
  const DeviceChoice cpu{.gpus = {}}, gpu{.gpus = {0}};
  CHECK(precision_on(cpu, {.precision = Precision::bf16}) == Precision::bf16);
  CHECK(precision_on(cpu, {.precision = Precision::fp32}) == Precision::fp32);
  const bool gains_at_tf32 = cpu_multiplies_faster_at(Precision::tf32);
  CHECK(precision_on(cpu, {.precision = Precision::tf32}) == (gains_at_tf32 ? Precision::tf32 : Precision::fp32));
  CHECK(precision_on(gpu, {.precision = Precision::tf32}) == Precision::tf32);
  const RuntimeConfig mixed{.precision = Precision::bf16, .bf16_where_it_gains = true};
  CHECK(precision_on(cpu, mixed) == (cpu_multiplies_faster_at(Precision::bf16) ? Precision::bf16 : Precision::fp32));
  CHECK(precision_on(gpu, mixed) == Precision::bf16);
}

TEST_CASE("a replica with a GPU to itself needs no library to meet nobody") {
  const auto device = make_cpu_device();
  CHECK(meet({.gpus = {5}}, "gradients")->join(0, *device, 1)->text() == "threads");
}

TEST_CASE("a GPU that is not there is an error that says what is") {
  const int count = survey_cuda().count;
  try {
    choose_devices({.gpus = std::to_string(count), .device = ""}, {0}, [](const std::string&) {});
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    CHECK(std::string(error.what()).find(count == 0 ? "no usable GPU" : "there are") != std::string::npos);
  }
}

}  // namespace bev
