// Every engine of the CPU, in float and double: results, bits, threads, refusals.
#include "runtime/convolution.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "runtime/error.h"
#include "tests/support/convolution_check.h"

namespace bev::test {

namespace {

using Make = std::unique_ptr<ConvolutionEngine> (*)();
const Make engines[] = {make_plain_convolution, make_cpu_convolution};

}  // namespace

TEST_CASE("convolutions agree with nested loops") {
  for (const Make make : engines) {
    const auto engine = make();
    for (int repeat = 0; repeat < 2; ++repeat) {  // the second run finds what the first one cached
      for (const ConvolutionShape& shape : convolution_shapes) {
        for (const Direction direction : directions) {
          for (const double beta : {0.0, 1.0}) {
            if (direction == Direction::forward && beta != 0) continue;
            check_convolution<float>(*engine, shape, direction, beta);
            check_convolution<double>(*engine, shape, direction, beta);
          }
        }
      }
    }
  }
}

TEST_CASE("a convolution gives the same bits every time") {
  const ConvolutionShape shapes_of_size[] = {
      {.n = 9, .h = 28, .w = 28, .c = 32, .k = 32, .r = 3, .s = 3, .stride = 1, .padding = 1},
      {.n = 9, .h = 32, .w = 32, .c = 3, .k = 16, .r = 3, .s = 3, .stride = 2, .padding = 1},
      {.n = 9, .h = 16, .w = 16, .c = 8, .k = 8, .r = 3, .s = 3, .stride = 1, .padding = 1},
  };
  for (const Make make : engines) {
    for (const ConvolutionShape& shape : shapes_of_size) {
      for (const Direction direction : directions) {
        const auto engine = make();
        Problem<float> first(shape), second(shape);
        first.run(*engine, direction, 0);
        second.run(*make(), direction, 0);
        CHECK(first.result(direction) == second.result(direction));
        second.run(*engine, direction, 0);
        CHECK(first.result(direction) == second.result(direction));
      }
    }
  }
}

TEST_CASE("convolution engines in several threads do not disturb each other") {
  for (const Make make : engines) {
    const ConvolutionShape shape = convolution_shapes[1];
    std::vector<std::vector<float>> results(4);
    std::vector<std::thread> threads;
    for (auto& result : results) {
      threads.emplace_back([&] {
        const auto engine = make();
        Problem<float> problem(shape);
        for (const Direction direction : directions) problem.run(*engine, direction, 0);
        result = problem.w;
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& result : results) CHECK(result == results[0]);
  }
}

TEST_CASE("a dry stream counts convolutions and computes nothing") {
  for (const Make make : engines) {
    WorkTally tally;
    const Stream dry{.kind = DeviceKind::dry, .tally = &tally};
    const ConvolutionShape shape = convolution_shapes[2];
    const auto engine = make();
    engine->forward(dry, DType::f32, shape, nullptr, nullptr, nullptr);
    engine->backward_data(dry, DType::f32, shape, nullptr, nullptr, nullptr, 0);
    engine->backward_filter(dry, DType::f32, shape, nullptr, nullptr, nullptr, 1);
    CHECK(tally.launches == 3);
    CHECK(tally.convolution_flop == 3.0 * 2 * 2 * 4 * 4 * 32 * 3 * 3 * 16);
    CHECK(tally.matmul_flop == 0);
  }
}

TEST_CASE("convolutions refuse what they cannot do, naming the shape") {
  for (const Make make : engines) {
    const auto engine = make();
    const ConvolutionShape good{.n = 1, .h = 4, .w = 4, .c = 1, .k = 1, .r = 3, .s = 3, .stride = 1, .padding = 1};
    const auto refusal = [&](const ConvolutionShape& shape, double beta = 0, Stream stream = {},
                             DType type = DType::f32) -> std::string {
      std::vector<double> x(64), w(64), y(64);
      try {
        engine->backward_data(stream, type, shape, y.data(), w.data(), x.data(), beta);
      } catch (const Error& error) {
        return error.what();
      }
      return "";
    };
    CHECK(refusal(good) == "");
    CHECK(refusal(good, 2) ==
          "convolution [1, 4, 4, 1] with 1 filters 3 x 3, stride 1, padding 1: beta is 2, expected 0 (overwrite) or 1 "
          "(accumulate)");
    CHECK(refusal(good, 0, {.kind = DeviceKind::cuda}).find("cuda:0") != std::string::npos);
    CHECK(refusal(good, 0, {}, DType::u8).find("U8") != std::string::npos);
    ConvolutionShape bad = good;
    bad.stride = 0;
    CHECK(refusal(bad).find("stride must be positive") != std::string::npos);
    bad = good, bad.padding = 0, bad.h = 2;
    CHECK(refusal(bad).find("larger than the padded image") != std::string::npos);
  }
}

}  // namespace bev::test
