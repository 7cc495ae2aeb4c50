// Every engine of the CPU, in float and double, against three nested loops in double. Shapes are odd on purpose: no
// size is a multiple of a block or of a vector, rows and batch members have gaps that must stay as they were.
#include "runtime/matmul.h"

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

struct Case {
  MatmulShape shape;
  double alpha = 1, beta = 0;
  bool bias = false;
};

int64_t extent(int64_t rows, int64_t columns, int64_t distance, int64_t batch, int64_t stride) {
  return rows == 0 || columns == 0 || batch == 0 ? 0 : (batch - 1) * stride + (rows - 1) * distance + columns;
}

/// Fills in the distances that a case left open: dense, or with a gap behind every row and every member.
MatmulShape with_distances(MatmulShape s, int64_t gap) {
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

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const int64_t gap : {0, 3}) {
        const auto sizes = [&](int64_t m, int64_t n, int64_t k, int64_t batch) {
          return with_distances({.m = m, .n = n, .k = k, .transpose_a = ta, .transpose_b = tb, .batch = batch}, gap);
        };
        out.push_back({sizes(37, 53, 29, 1)});
        out.push_back({sizes(5, 131, 261, 1), 0.5, 1});
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

double error_of(double value, double expected) {
  const double error = std::abs(value - expected);
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

/// Every element within what rounding of random terms explains, and the gaps in C left alone. Rounding errors of a sum
/// of k terms add up like a random walk: about epsilon sqrt(k) times the root of the sum of the squared terms.
template <class T>
void check(MatmulEngine& engine, const Case& test) {
  const MatmulShape& s = test.shape;
  const auto a =
      random_numbers<T>(extent(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.lda, s.batch, s.stride_a), 1);
  const auto b =
      random_numbers<T>(extent(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.ldb, s.batch, s.stride_b), 2);
  const auto bias = random_numbers<T>(s.n, 3);
  auto c = random_numbers<T>(extent(s.m, s.n, s.ldc, s.batch, s.stride_c), 4);
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
        tolerance[at] = 2 * std::numeric_limits<T>::epsilon() * root;
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

std::string message_of(MatmulEngine& engine, const Stream& stream, DType type, const MatmulShape& shape, double beta) {
  float a[64] = {}, b[64] = {}, c[64] = {};
  try {
    engine.run(stream, type, shape, a, b, c, 1, beta, nullptr);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

using Make = std::unique_ptr<MatmulEngine> (*)();
const Make engines[] = {make_plain_matmul, make_cpu_matmul};

}  // namespace

TEST_CASE("products agree with three nested loops") {
  for (const Make make : engines) {
    const auto engine = make();
    for (const Case& test : cases()) {
      for (int repeat = 0; repeat < 2; ++repeat) {  // the second run finds what the first one cached
        check<float>(*engine, test);
        check<double>(*engine, test);
      }
    }
  }
}

TEST_CASE("a product gives the same bits every time") {
  for (const Make make : engines) {
    const auto engine = make();
    for (const MatmulShape& shape :
         {linear_shape(80, 384, 512), with_distances({.m = 128, .n = 160, .k = 960, .transpose_a = true}, 0),
          with_distances({.m = 8, .n = 96, .k = 96}, 0)}) {
      const auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.n * shape.k, 2);
      std::vector<float> first(static_cast<size_t>(shape.m * shape.n)), again = first;
      engine->run({}, DType::f32, shape, a.data(), b.data(), first.data(), 1, 0, nullptr);
      make()->run({}, DType::f32, shape, a.data(), b.data(), again.data(), 1, 0, nullptr);
      CHECK(first == again);
      engine->run({}, DType::f32, shape, a.data(), b.data(), again.data(), 1, 0, nullptr);
      CHECK(first == again);
    }
  }
}

TEST_CASE("engines in several threads do not disturb each other") {
  for (const Make make : engines) {
    std::vector<std::vector<float>> results(4);
    std::vector<std::thread> threads;
    const MatmulShape shape = linear_shape(40, 200, 300);
    const auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.n * shape.k, 2);
    for (auto& result : results) {
      threads.emplace_back([&] {
        const auto engine = make();
        result.resize(static_cast<size_t>(shape.m * shape.n));
        for (int i = 0; i < 5; ++i) {
          engine->run({}, DType::f32, shape, a.data(), b.data(), result.data(), 1, 0, nullptr);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& result : results) CHECK(result == results[0]);
  }
}

TEST_CASE("products with a shared operand agree with those without") {
  for (const Make make : engines) {
    for (const MatmulShape& shape :
         {linear_shape(80, 200, 530), with_distances({.m = 9, .n = 131, .k = 261}, 2), linear_shape(33, 96, 96),
          with_distances({.m = 20, .n = 7, .k = 40, .transpose_a = true}, 1), linear_shape(150, 64, 64)}) {
      const auto engine = make(), other = make();
      const auto a = random_numbers<float>(shape.m * shape.k + 1000, 1), bias = random_numbers<float>(shape.n, 2);
      auto b = random_numbers<float>(shape.n * shape.k + 1000, 3);
      const auto check_sharing = [&] {
        const UnchangedWeights unchanged(*engine);
        for (int use = 0; use < 4; ++use) {
          auto c = random_numbers<float>(shape.m * shape.ldc, 4), expected = c;
          const double beta = use % 2;
          engine->run_shared({}, DType::f32, shape, a.data(), b.data(), c.data(), 1, beta, bias.data());
          other->run({}, DType::f32, shape, a.data(), b.data(), expected.data(), 1, beta, bias.data());
          double worst = 0;
          for (size_t i = 0; i < c.size(); ++i) worst = std::max(worst, error_of(c[i], expected[i]));
          INFO(cpu::text(shape), ", use ", use);
          CHECK(worst <= 1e-5 * std::sqrt(static_cast<double>(shape.k)));
        }
      };
      check_sharing();
      b = random_numbers<float>(shape.n * shape.k + 1000, 5);  // an optimiser's step: what was kept must not be used
      check_sharing();
      // Without the promise nothing is kept.
      std::vector<float> c(static_cast<size_t>(shape.m * shape.ldc)), expected = c;
      for (int use = 0; use < 3; ++use) {
        b[0] += 1;
        engine->run_shared({}, DType::f32, shape, a.data(), b.data(), c.data(), 1, 0, nullptr);
        engine->run({}, DType::f32, shape, a.data(), b.data(), expected.data(), 1, 0, nullptr);
        CHECK(c == expected);
      }
    }
  }
}

TEST_CASE("products with a shared operand in double and on a dry stream are plain ones") {
  const auto engine = make_cpu_matmul();
  const UnchangedWeights unchanged(*engine);
  const MatmulShape shape = linear_shape(10, 20, 30);
  const auto a = random_numbers<double>(300, 1), b = random_numbers<double>(600, 2);
  std::vector<double> c(200), expected(200);
  make_plain_matmul()->run({}, DType::f64, shape, a.data(), b.data(), expected.data(), 1, 0, nullptr);
  for (int use = 0; use < 3; ++use) {
    engine->run_shared({}, DType::f64, shape, a.data(), b.data(), c.data(), 1, 0, nullptr);
    CHECK(c == expected);
  }
  WorkTally tally;
  const Stream dry{.kind = DeviceKind::dry, .tally = &tally};
  engine->run_shared(dry, DType::f32, shape, nullptr, nullptr, nullptr, 1, 0, nullptr);
  CHECK(tally.matmul_flop == 2 * 10 * 20 * 30);
}

TEST_CASE("a dry stream counts products and computes nothing") {
  for (const Make make : engines) {
    WorkTally tally;
    const Stream dry{.kind = DeviceKind::dry, .tally = &tally};
    const MatmulShape shape{.m = 3, .n = 5, .k = 7, .lda = 7, .ldb = 5, .ldc = 5, .batch = 2, .stride_c = 15};
    make()->run(dry, DType::f32, shape, nullptr, nullptr, nullptr, 1, 0, nullptr);
    CHECK(tally.launches == 1);
    CHECK(tally.matmul_flop == 2 * 3 * 5 * 7 * 2);
    CHECK(tally.convolution_flop == 0);
    make()->run({.kind = DeviceKind::dry}, DType::f32, shape, nullptr, nullptr, nullptr, 1, 0, nullptr);
  }
}

TEST_CASE("products refuse what they cannot do, naming the shape") {
  for (const Make make : engines) {
    const auto engine = make();
    const MatmulShape good{.m = 2, .n = 3, .k = 4, .lda = 4, .ldb = 3, .ldc = 3};
    const auto refusal = [&](MatmulShape shape, double beta = 0, Stream stream = {}, DType type = DType::f32) {
      return message_of(*engine, stream, type, shape, beta);
    };
    CHECK(refusal(good) == "");
    CHECK(refusal(good, 0.5) == "product [2 x 4] x [4 x 3]: beta is 0.5, expected 0 (overwrite) or 1 (accumulate)");
    CHECK(refusal(good, 0, {.kind = DeviceKind::cuda, .ordinal = 1}) ==
          "a product was asked of the CPU's engine on a stream of cuda:1: expected a stream of the CPU");
    CHECK(refusal(good, 0, {}, DType::bf16).find("BF16") != std::string::npos);
    MatmulShape bad = good;
    bad.lda = 3;
    CHECK(refusal(bad) == "product [2 x 4] x [4 x 3]: rows of A are 3 elements apart, expected at least 4");
    bad = good, bad.ldb = 2;
    CHECK(refusal(bad).find("rows of B") != std::string::npos);
    bad = good, bad.ldc = 1;
    CHECK(refusal(bad).find("rows of C") != std::string::npos);
    bad = good, bad.m = -1;
    CHECK(refusal(bad).find("negative") != std::string::npos);
    bad = good, bad.batch = 2;
    CHECK(refusal(bad).find("batch 2: members of C are 0 elements apart") != std::string::npos);
  }
}

}  // namespace bev::test
