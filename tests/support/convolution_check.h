// Convolutions that every engine must compute, and the check against seven nested loops in double: strides, paddings,
// filters of one and of several taps, odd sizes, accumulation, and results that held NaN before.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/convolution.h"
#include "runtime/cpu/admit.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

enum class Direction { forward, data, filter };
inline constexpr Direction directions[] = {Direction::forward, Direction::data, Direction::filter};

inline const ConvolutionShape convolution_shapes[] = {
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

inline int64_t image_size(const ConvolutionShape& s) { return s.n * s.h * s.w * s.c; }
inline int64_t filter_size(const ConvolutionShape& s) { return s.k * s.r * s.s * s.c; }
inline int64_t output_size(const ConvolutionShape& s) { return s.n * s.out_h() * s.out_w() * s.k; }

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
/// squares, since rounding errors add up like a random walk. `epsilon`: of the inputs, as they are multiplied.
template <class T>
void check_convolution(ConvolutionEngine& engine, const ConvolutionShape& shape, Direction direction, double beta,
                       double epsilon = std::numeric_limits<T>::epsilon()) {
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
  CHECK(worst <= 2 * epsilon);
}

}  // namespace bev::test
