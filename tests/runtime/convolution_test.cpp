// Every engine of the CPU, in float and double, against seven nested loops in double: strides, paddings, filters of
// one and of several taps, odd sizes, accumulation, and results that held NaN before.
#include "runtime/convolution.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "runtime/cpu/admit.h"
#include "runtime/error.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

enum class Direction { forward, data, filter };
constexpr Direction directions[] = {Direction::forward, Direction::data, Direction::filter};

const ConvolutionShape shapes[] = {
    {.n = 2, .h = 9, .w = 11, .c = 3, .k = 8, .r = 3, .s = 3, .stride = 2, .padding = 1},
    {.n = 3, .h = 7, .w = 5, .c = 16, .k = 24, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 2, .h = 8, .w = 8, .c = 16, .k = 32, .r = 3, .s = 3, .stride = 2, .padding = 1},
    {.n = 2, .h = 6, .w = 9, .c = 24, .k = 40, .r = 1, .s = 1, .stride = 1, .padding = 0},
    {.n = 2, .h = 7, .w = 7, .c = 16, .k = 16, .r = 1, .s = 1, .stride = 2, .padding = 0},
    {.n = 1, .h = 13, .w = 10, .c = 3, .k = 16, .r = 7, .s = 7, .stride = 2, .padding = 3},
    {.n = 1, .h = 70, .w = 67, .c = 4, .k = 4, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 2, .h = 6, .w = 6, .c = 8, .k = 8, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 5, .h = 10, .w = 12, .c = 8, .k = 16, .r = 3, .s = 3, .stride = 2, .padding = 1},
    {.n = 2, .h = 5, .w = 6, .c = 5, .k = 7, .r = 3, .s = 2, .stride = 1, .padding = 0},
    {.n = 1, .h = 9, .w = 9, .c = 6, .k = 5, .r = 2, .s = 2, .stride = 3, .padding = 1},
    {.n = 2, .h = 2, .w = 2, .c = 64, .k = 72, .r = 3, .s = 3, .stride = 1, .padding = 1},
    {.n = 1, .h = 1, .w = 1, .c = 1, .k = 1, .r = 1, .s = 1, .stride = 1, .padding = 0},
};

int64_t image_size(const ConvolutionShape& s) { return s.n * s.h * s.w * s.c; }
int64_t filter_size(const ConvolutionShape& s) { return s.k * s.r * s.s * s.c; }
int64_t output_size(const ConvolutionShape& s) { return s.n * s.out_h() * s.out_w() * s.k; }

/// Calls body(element of the image, of the filter, of the output) for every product of the convolution.
template <class Body>
void for_products(const ConvolutionShape& s, const Body& body) {
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t p = 0; p < s.out_h(); ++p)
      for (int64_t q = 0; q < s.out_w(); ++q)
        for (int64_t k = 0; k < s.k; ++k)
          for (int64_t r = 0; r < s.r; ++r)
            for (int64_t t = 0; t < s.s; ++t) {
              const int64_t h = p * s.stride - s.padding + r, w = q * s.stride - s.padding + t;
              if (h < 0 || w < 0 || h >= s.h || w >= s.w) continue;
              for (int64_t c = 0; c < s.c; ++c) {
                body(((n * s.h + h) * s.w + w) * s.c + c, ((k * s.r + r) * s.s + t) * s.c + c,
                     ((n * s.out_h() + p) * s.out_w() + q) * s.k + k);
              }
            }
}

template <class T>
struct Problem {
  explicit Problem(const ConvolutionShape& shape)
      : shape(shape),
        x(random_numbers<T>(image_size(shape), 1)),
        w(random_numbers<T>(filter_size(shape), 2)),
        y(random_numbers<T>(output_size(shape), 3)) {}

  std::vector<T>& result(Direction direction) {
    return direction == Direction::forward ? y : direction == Direction::data ? x : w;
  }

  void run(ConvolutionEngine& engine, Direction direction, double beta) {
    const DType type = sizeof(T) == 4 ? DType::f32 : DType::f64;
    if (direction == Direction::forward) engine.forward({}, type, shape, x.data(), w.data(), y.data());
    if (direction == Direction::data) engine.backward_data({}, type, shape, y.data(), w.data(), x.data(), beta);
    if (direction == Direction::filter) engine.backward_filter({}, type, shape, x.data(), y.data(), w.data(), beta);
  }

  ConvolutionShape shape;
  std::vector<T> x, w, y;
};

/// Every element within what rounding of random terms explains: epsilon sqrt(terms) times the root of the sum of their
/// squares, since rounding errors add up like a random walk.
template <class T>
void check(ConvolutionEngine& engine, const ConvolutionShape& shape, Direction direction, double beta) {
  Problem<T> problem(shape);
  std::vector<T>& result = problem.result(direction);
  std::vector<double> expected(result.size(), 0), squares(result.size(), 1), terms(result.size(), 1);
  if (beta != 0) expected.assign(result.begin(), result.end());
  for_products(shape, [&](int64_t x, int64_t w, int64_t y) {
    const int64_t at = direction == Direction::forward ? y : direction == Direction::data ? x : w;
    const double left = direction == Direction::data ? problem.y[y] : problem.x[x];
    const double term = left * (direction == Direction::filter ? problem.y[y] : problem.w[w]);
    expected[at] += term;
    squares[at] += term * term;
    terms[at] += 1;
  });
  if (beta == 0) std::fill(result.begin(), result.end(), std::numeric_limits<T>::quiet_NaN());
  problem.run(engine, direction, beta);
  double worst = 0;
  for (size_t i = 0; i < result.size(); ++i) {
    const double error = std::abs(result[i] - expected[i]) / std::sqrt(terms[i] * squares[i]);
    worst = std::max(worst, std::isnan(error) ? std::numeric_limits<double>::infinity() : error);
  }
  INFO(cpu::text(shape), ", direction ", static_cast<int>(direction), ", beta ", beta);
  CHECK(worst <= 2 * std::numeric_limits<T>::epsilon());
}

using Make = std::unique_ptr<ConvolutionEngine> (*)();
const Make engines[] = {make_plain_convolution, make_cpu_convolution};

}  // namespace

TEST_CASE("convolutions agree with nested loops") {
  for (const Make make : engines) {
    const auto engine = make();
    for (int repeat = 0; repeat < 2; ++repeat) {  // the second run finds what the first one cached
      for (const ConvolutionShape& shape : shapes) {
        for (const Direction direction : directions) {
          for (const double beta : {0.0, 1.0}) {
            if (direction == Direction::forward && beta != 0) continue;
            check<float>(*engine, shape, direction, beta);
            check<double>(*engine, shape, direction, beta);
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
    const ConvolutionShape shape = shapes[1];
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
    const ConvolutionShape shape = shapes[2];
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
