// Every engine of the CPU, in float and double: results, bits, threads, refusals.
#include "runtime/matmul.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "runtime/error.h"
#include "tests/support/product_check.h"
#include "tests/support/rounded_engines.h"
#include "tests/support/sanitizers.h"

namespace bev::test {

namespace {

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
const Make engines[] = {make_plain_matmul, make_cpu_matmul, make_cpu_tf32_matmul, make_cpu_bf16_matmul};

/// Of a float factor as an engine multiplies it.
double rounding_of(Make make) {
  return make == make_cpu_bf16_matmul   ? 0x1p-7
         : make == make_cpu_tf32_matmul ? 0x1p-10
                                        : double{std::numeric_limits<float>::epsilon()};
}

/// The distance of an engine's product from that of doubles, relative to the product's norm.
double distance(MatmulEngine& engine, const MatmulShape& shape, const std::vector<float>& a,
                const std::vector<float>& b) {
  const std::vector<double> left(a.begin(), a.end()), right(b.begin(), b.end());
  std::vector<double> exact(static_cast<size_t>(shape.m * shape.n));
  std::vector<float> c(exact.size());
  make_cpu_matmul()->run({}, DType::f64, shape, left.data(), right.data(), exact.data(), 1, 0, nullptr);
  engine.run({}, DType::f32, shape, a.data(), b.data(), c.data(), 1, 0, nullptr);
  double difference = 0, norm = 0;
  for (size_t i = 0; i < c.size(); ++i) {
    difference += (c[i] - exact[i]) * (c[i] - exact[i]);
    norm += exact[i] * exact[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace

TEST_CASE("products agree with three nested loops") {
  for (const Make make : engines) {
    const auto engine = make();
    for (const MatmulCase& test : matmul_cases()) {
      if (thread_sanitizer && test.shape.m * test.shape.n * test.shape.k > 1000000) continue;  // one thread computes it
      for (int repeat = 0; repeat < 2; ++repeat) {  // the second run finds what the first one cached
        check_product<float>(*engine, test, rounding_of(make));
        check_product<double>(*engine, test);
      }
    }
  }
}

TEST_CASE("factors are rounded to the nearest bf16, of two the even one, and products of those are exact") {
  const auto engine = make_cpu_bf16_matmul(), exact = make_cpu_matmul(), rounded = make_rounded_matmul(Precision::bf16);
  for (const MatmulShape& shape : {linear_shape(150, 70, 1), with_distances({.m = 9, .n = 131, .k = 1}, 2),
                                   with_distances({.m = 33, .n = 40, .k = 1, .transpose_a = true}, 1)}) {
    const int64_t a_size =
        matrix_extent(shape.transpose_a ? 1 : shape.m, shape.transpose_a ? shape.m : 1, shape.lda, 1, 0);
    const int64_t b_size =
        matrix_extent(shape.transpose_b ? shape.n : 1, shape.transpose_b ? 1 : shape.n, shape.ldb, 1, 0);
    auto a = random_numbers<float>(a_size, 1), b = random_numbers<float>(b_size, 2);
    a[0] = 1 + 0x1p-8f;  // half way: down to 1
    a[1] = 1 + 0x3p-8f;  // half way: up to 1 + 2^-6
    std::vector<float> c(static_cast<size_t>(shape.m * shape.ldc)), expected = c, unrounded = c;
    engine->run({}, DType::f32, shape, a.data(), b.data(), c.data(), 1, 0, nullptr);
    rounded->run({}, DType::f32, shape, a.data(), b.data(), expected.data(), 1, 0, nullptr);
    exact->run({}, DType::f32, shape, a.data(), b.data(), unrounded.data(), 1, 0, nullptr);
    CHECK(c == expected);
    CHECK(c != unrounded);
  }
  // What is not a number stays that, and infinity too.
  const float a[2] = {std::bit_cast<float>(0x7fffffffu), std::numeric_limits<float>::infinity()}, b[1] = {2};
  float c[2] = {};
  engine->run({}, DType::f32, with_distances({.m = 2, .n = 1, .k = 1}, 0), a, b, c, 1, 0, nullptr);
  CHECK(std::isnan(c[0]));
  CHECK(c[1] == std::numeric_limits<float>::infinity());
}

TEST_CASE("factors at tf32 lose less than rounding to TF32 would lose, whatever their sizes") {
  const auto engine = make_cpu_tf32_matmul(), rounded = make_rounded_matmul(Precision::tf32);
  const MatmulShape shapes[] = {linear_shape(60, 70, 1000), with_distances({.m = 130, .n = 40, .k = 300}, 0),
                                with_distances({.m = 61, .n = 64, .k = 128, .transpose_a = true}, 0),
                                linear_shape(30, 33, 64)};
  // Sizes of the numbers that meet at place p of the depth: alike; outliers as in the features of language models; and
  // from segment to segment.
  const auto alike = [](int64_t) { return 1.0f; };
  const auto outliers = [](int64_t p) { return p % 50 == 7 ? 100.0f : 1.0f; };
  const auto uneven = [](int64_t p) { return std::ldexp(1.0f, static_cast<int>(-4 * (p / 128))); };
  for (const MatmulShape& shape : shapes) {
    for (const auto& size : {+alike, +outliers, +uneven}) {
      auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.k * shape.n, 2);
      for (int64_t i = 0; i < shape.m; ++i) {
        for (int64_t p = 0; p < shape.k; ++p) {
          a[static_cast<size_t>(shape.transpose_a ? p * shape.lda + i : i * shape.lda + p)] *= size(p);
        }
      }
      const double ours = distance(*engine, shape, a, b);
      CHECK(ours / distance(*rounded, shape, a, b) < 0.7);
      CHECK(ours > 1e-6);  // of floats: then it is this that was tested
    }
  }
}

TEST_CASE("few rows by a large operand that is kept at tf32 lose less than rounding to TF32 would lose") {
  const auto engine = make_cpu_tf32_matmul(), rounded = make_rounded_matmul(Precision::tf32);
  const UnchangedWeights unchanged(*engine);
  const MatmulShape shape = linear_shape(9, 1030, 1040);
  const auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.k * shape.n, 2);
  std::vector<float> kept(static_cast<size_t>(shape.m * shape.n)), by_tf32 = kept, exact = kept;
  make_plain_matmul()->run({}, DType::f32, shape, a.data(), b.data(), exact.data(), 1, 0, nullptr);
  rounded->run({}, DType::f32, shape, a.data(), b.data(), by_tf32.data(), 1, 0, nullptr);
  engine->run_shared({}, DType::f32, shape, a.data(), b.data(), kept.data(), 1, 0, nullptr);
  const auto squares_of_error = [&](const std::vector<float>& c) {
    double sum = 0;
    for (size_t i = 0; i < c.size(); ++i) sum += (double{c[i]} - exact[i]) * (double{c[i]} - exact[i]);
    return sum;
  };
  const double ratio = std::sqrt(squares_of_error(kept) / squares_of_error(by_tf32));
  CHECK(ratio < 0.7);
  CHECK(ratio > 0.1);  // else these are floats, and nothing was tested
}

TEST_CASE("factors at tf32 may be as small and as large as floats are") {
  const auto engine = make_cpu_tf32_matmul();
  const MatmulShape shape = with_distances({.m = 40, .n = 50, .k = 200}, 0);
  const auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.k * shape.n, 2);
  const double as_ever = distance(*engine, shape, a, b);
  const auto times = [](std::vector<float> numbers, float factor) {
    for (float& x : numbers) x *= factor;
    return numbers;
  };
  for (const float factor : {0x1p-90f, 0x1p-45f, 0x1p66f, 0x1p100f}) {  // squares below, and above, what floats hold
    CHECK(distance(*engine, shape, times(a, factor), times(b, 1 / factor)) == doctest::Approx(as_ever).epsilon(0.1));
  }
  // One number as large as all others together, so that it alone must not leave 16 bits; and rows and columns of zeros.
  auto spiked = a, zeros = b;
  for (int64_t i = 0; i < shape.m; ++i) spiked[static_cast<size_t>(i * shape.k + 5)] = i % 2 ? -1e4f : 1e4f;
  std::fill_n(spiked.begin(), shape.k, 0.0f);
  for (int64_t p = 0; p < shape.k; ++p) zeros[static_cast<size_t>(p * shape.n)] = 0;
  // A factor is off by at most 2^-16 of the norm of 128: of numbers alike 1.7e-4 of their own size, and there are two.
  constexpr double at_most = 3.5e-4;
  CHECK(distance(*engine, shape, spiked, b) < at_most);
  std::vector<float> c(static_cast<size_t>(shape.m * shape.n), 7.0f);
  engine->run({}, DType::f32, shape, spiked.data(), zeros.data(), c.data(), 1, 0, nullptr);
  for (int64_t j = 0; j < shape.n; ++j) CHECK(c[static_cast<size_t>(j)] == 0);
  for (int64_t i = 0; i < shape.m; ++i) CHECK(c[static_cast<size_t>(i * shape.n)] == 0);
  // As many equal numbers as can be: the largest sum of a segment in whole numbers.
  const std::vector<float> ones(static_cast<size_t>(shape.m * shape.k), 1.0f), also(b.size(), -1.0f);
  CHECK(distance(*engine, shape, ones, also) < at_most);
}

TEST_CASE("rows and columns of zeros at tf32, one or many beside each other, leave zeros there and nowhere else") {
  const auto engine = make_cpu_tf32_matmul();
  const auto zero_row = [](int64_t i) { return i == 3 || (i >= 16 && i < 32); };
  const auto zero_column = [](int64_t j) { return j == 20 || j >= 32; };
  for (const bool transposed : {false, true}) {
    const MatmulShape shape =
        with_distances({.m = 40, .n = 64, .k = 200, .transpose_a = transposed, .transpose_b = transposed}, 0);
    auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.k * shape.n, 2);
    for (int64_t p = 0; p < shape.k; ++p) {
      for (int64_t i = 0; i < shape.m; ++i) {
        if (zero_row(i)) a[static_cast<size_t>(transposed ? p * shape.lda + i : i * shape.lda + p)] = 0;
      }
      for (int64_t j = 0; j < shape.n; ++j) {
        if (zero_column(j)) b[static_cast<size_t>(transposed ? j * shape.ldb + p : p * shape.ldb + j)] = -0.0f;
      }
    }
    std::vector<float> c(static_cast<size_t>(shape.m * shape.n));
    engine->run({}, DType::f32, shape, a.data(), b.data(), c.data(), 1, 0, nullptr);
    for (int64_t i = 0; i < shape.m; ++i) {
      for (int64_t j = 0; j < shape.n; ++j) {
        CHECK((c[static_cast<size_t>(i * shape.n + j)] == 0) == (zero_row(i) || zero_column(j)));
      }
    }
  }
}

TEST_CASE("what is not finite in a factor at tf32 makes its row, or column, not a number, and no other") {
  const auto engine = make_cpu_tf32_matmul();
  for (const bool transposed : {false, true}) {
    const MatmulShape shape =
        with_distances({.m = 40, .n = 50, .k = 200, .transpose_a = transposed, .transpose_b = transposed}, 0);
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.k * shape.n, 2);
      a[static_cast<size_t>(transposed ? 150 * shape.lda + 3 : 3 * shape.lda + 150)] = value;
      b[static_cast<size_t>(transposed ? 37 * shape.ldb + 20 : 20 * shape.ldb + 37)] = value;
      std::vector<float> c(static_cast<size_t>(shape.m * shape.n));
      engine->run({}, DType::f32, shape, a.data(), b.data(), c.data(), 1, 0, nullptr);
      for (int64_t i = 0; i < shape.m; ++i) {
        for (int64_t j = 0; j < shape.n; ++j) {
          CHECK(std::isfinite(c[static_cast<size_t>(i * shape.n + j)]) == (i != 3 && j != 37));
        }
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
          with_distances({.m = 20, .n = 7, .k = 40, .transpose_a = true}, 1), linear_shape(150, 64, 64),
          with_distances({.m = 40, .n = 530, .k = 2100}, 0)}) {  // 1.1 million numbers: packed past the caches
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
          const double a_sum = 1e-5 * std::sqrt(static_cast<double>(shape.k));  // in another order
          CHECK(worst <= a_sum);
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

TEST_CASE(
    "a shared operand gives the same bits at its first use, before it is packed, and later, and in the next step") {
  for (const Make make : {make_cpu_matmul, make_cpu_tf32_matmul, make_cpu_bf16_matmul}) {
    for (const MatmulShape& shape : {with_distances({.m = 90, .n = 200, .k = 1500}, 0), linear_shape(9, 1030, 1040)}) {
      const auto engine = make();
      const auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.n * shape.k, 2);
      std::vector<float> first(static_cast<size_t>(shape.m * shape.n)), later = first;
      for (int step = 0; step < 3; ++step) {
        const UnchangedWeights unchanged(*engine);
        for (int use = 0; use < 3; ++use) {
          auto& c = step + use == 0 ? first : later;
          engine->run_shared({}, DType::f32, shape, a.data(), b.data(), c.data(), 1, 0, nullptr);
          if (step + use > 0) CHECK(later == first);
        }
      }
    }
  }
}

TEST_CASE("the gradient of a large weight, written past the caches, is whole when the product returns") {
  const MatmulShape shape = with_distances({.m = 1030, .n = 1056, .k = 3, .transpose_a = true}, 0);
  const auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.n * shape.k, 2),
             bias = random_numbers<float>(shape.n, 3);
  const auto size = static_cast<size_t>(shape.m * shape.n);
  std::vector<float> expected(size), storage(size + 32, 7.0f);
  make_plain_matmul()->run({}, DType::f32, shape, a.data(), b.data(), expected.data(), 0.5, 0, bias.data());
  for (const size_t off : {size_t{0}, size_t{1}}) {  // aligned to vectors, and not
    float* c = storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) / sizeof(float) % 16 + off;
    make_cpu_matmul()->run({}, DType::f32, shape, a.data(), b.data(), c, 0.5, 0, bias.data());
    CHECK(std::equal(expected.begin(), expected.end(), c));
    CHECK(c[size] == 7.0f);
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
