// Products that every engine must compute, and the check against three nested loops in double. Shapes are odd on
// purpose: no size is a multiple of a block or of a vector, rows and batch members have gaps that must stay as they
// were.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/cpu/admit.h"
#include "runtime/matmul.h"
#include "tests/support/matrix_extent.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

/// One call of an engine.
struct MatmulCase {
  MatmulShape shape;
  double alpha = 1, beta = 0;
  bool bias = false;
};

/// Fills in the distances that a case left open: dense, or with a gap behind every row and every member.
inline MatmulShape with_distances(MatmulShape s, int64_t gap) {
  const int64_t a_rows = s.transpose_a ? s.k : s.m, b_rows = s.transpose_b ? s.n : s.k;
  s.lda = (s.transpose_a ? s.m : s.k) + gap;
  s.ldb = (s.transpose_b ? s.k : s.n) + gap;
  s.ldc = s.n + gap;
  if (s.batch > 1) {
    s.stride_a = s.stride_a == -1 ? 0 : a_rows * s.lda + gap;
    s.stride_b = s.stride_b == -1 ? 0 : b_rows * s.ldb + gap;
    s.stride_c = s.m * s.ldc + gap;
  }
  return s;
}

inline std::vector<MatmulCase> matmul_cases() {
  std::vector<MatmulCase> out;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const int64_t gap : {0, 3}) {
        const auto sizes = [&](int64_t m, int64_t n, int64_t k, int64_t batch) {
          return with_distances({.m = m, .n = n, .k = k, .transpose_a = ta, .transpose_b = tb, .batch = batch}, gap);
        };
        out.push_back({sizes(37, 53, 29, 1)});
        out.push_back({sizes(5, 131, 261, 1), 0.5, 1});
        out.push_back({sizes(3, 35, 2100, 1), 0.5, 1, true});  // deeper than a block of any engine and type
        out.push_back({sizes(70, 3, 7, 3), -2, 0, true});
        out.push_back({sizes(9, 67, 19, 2), 1, 1, true});
        // Large enough for a library: alone, with everything added, scaled, and as members of a batch.
        out.push_back({sizes(113, 161, 203, 1)});
        out.push_back({sizes(113, 161, 203, 1), 1, 1, true});
        out.push_back({sizes(113, 161, 203, 1), 1, 0, true});
        out.push_back({sizes(113, 161, 203, 1), 0.25, 1, true});
      }
    }
  }
  out.push_back({with_distances({.m = 300, .n = 290, .k = 300, .transpose_b = true, .batch = 2}, 5), 1, 1, true});
  out.push_back({with_distances({.m = 8, .n = 17, .k = 33, .batch = 3, .stride_a = -1}, 0)});
  out.push_back({with_distances({.m = 8, .n = 17, .k = 33, .transpose_b = true, .batch = 3, .stride_b = -1}, 1), 3, 1});
  out.push_back({with_distances({.m = 1, .n = 1, .k = 1}, 0)});
  out.push_back({with_distances({.m = 1, .n = 300, .k = 40}, 0), 1, 0, true});
  out.push_back({with_distances({.m = 300, .n = 1, .k = 40, .transpose_a = true}, 0)});
  out.push_back({with_distances({.m = 48, .n = 96, .k = 96, .transpose_b = true}, 0), 1, 0, true});
  out.push_back({with_distances({.m = 80, .n = 256, .k = 384}, 0)});
  out.push_back({with_distances({.m = 129, .n = 257, .k = 519}, 0), 1, 1});
  // So shallow that C takes the time.
  out.push_back({with_distances({.m = 129, .n = 64, .k = 8, .transpose_a = true, .batch = 2}, 1), 2, 1, true});
  out.push_back({with_distances({.m = 30, .n = 96, .k = 17}, 0), 1, 0, true});
  // Several tiles below each other, of whole strips that an engine may read as they lie, and one more; deeper than a
  // block of any engine and type.
  out.push_back({with_distances({.m = 48, .n = 129, .k = 2101}, 3), 1, 0, true});
  out.push_back({with_distances({.m = 31, .n = 96, .k = 2100, .batch = 2}, 0), 0.5, 1});
  out.push_back({with_distances({.m = 4, .n = 6, .k = 0}, 0), 1, 0, true});
  out.push_back({with_distances({.m = 4, .n = 6, .k = 0}, 0), 1, 1});
  out.push_back({with_distances({.m = 0, .n = 6, .k = 5}, 0)});
  // The heads of attention side by side in one matrix, and a stack of rows that is no product of its own: ldb < k n.
  out.push_back({{.m = 12,
                  .n = 16,
                  .k = 33,
                  .lda = 33,
                  .ldb = 64,
                  .ldc = 64,
                  .batch = 4,
                  .stride_a = 396,
                  .stride_b = 16,
                  .stride_c = 16}});
  return out;
}

inline double error_of(double value, double expected) {
  const double error = std::abs(value - expected);
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

/// Every element within what rounding of random terms explains, and the gaps in C left alone. Rounding errors of a sum
/// of k terms add up like a random walk: about epsilon sqrt(k) times the root of the sum of the squared terms.
/// `epsilon`: of the inputs, as they are multiplied.
template <class T>
void check_product(MatmulEngine& engine, const MatmulCase& test, double epsilon = std::numeric_limits<T>::epsilon()) {
  const MatmulShape& s = test.shape;
  const auto a = random_numbers<T>(
      matrix_extent(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.lda, s.batch, s.stride_a), 1);
  const auto b = random_numbers<T>(
      matrix_extent(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.ldb, s.batch, s.stride_b), 2);
  const auto bias = random_numbers<T>(s.n, 3);
  auto c = random_numbers<T>(matrix_extent(s.m, s.n, s.ldc, s.batch, s.stride_c), 4);
  std::vector<double> expected(c.begin(), c.end());
  std::vector<double> tolerance(c.size(), 0);
  std::vector<bool> in_c(c.size(), false);
  for (int64_t q = 0; q < s.batch; ++q) {
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < s.k; ++k) {
          const double left = a[q * s.stride_a + (s.transpose_a ? k * s.lda + i : i * s.lda + k)];
          const double right = b[q * s.stride_b + (s.transpose_b ? j * s.ldb + k : k * s.ldb + j)];
          sum += left * right;
          squares += left * left * right * right;
        }
        const size_t at = static_cast<size_t>(q * s.stride_c + i * s.ldc + j);
        in_c[at] = true;
        const double root = std::abs(test.alpha) * std::sqrt(squares * static_cast<double>(s.k)) + 1;
        tolerance[at] = 2 * epsilon * root;
        expected[at] = test.alpha * sum + (test.beta == 0 ? 0 : expected[at]) + (test.bias ? double{bias[j]} : 0);
      }
    }
  }
  if (test.beta == 0) {
    for (size_t i = 0; i < c.size(); ++i) {
      if (in_c[i]) c[i] = std::numeric_limits<T>::quiet_NaN();
    }
  }
  const DType type = sizeof(T) == 4 ? DType::f32 : DType::f64;
  engine.run({}, type, s, a.data(), b.data(), c.data(), test.alpha, test.beta, test.bias ? bias.data() : nullptr);
  double worst = 0;
  bool gaps_kept = true;
  for (size_t i = 0; i < c.size(); ++i) {
    if (!in_c[i] && c[i] != static_cast<T>(expected[i])) gaps_kept = false;
    if (in_c[i]) worst = std::max(worst, error_of(c[i], expected[i]) / tolerance[i]);
  }
  INFO(cpu::text(s), ", rows of C ", s.ldc, " apart, alpha ", test.alpha, ", beta ", test.beta, ", bias ", test.bias);
  CHECK(gaps_kept);
  CHECK(worst <= 1);
}

}  // namespace bev::test
