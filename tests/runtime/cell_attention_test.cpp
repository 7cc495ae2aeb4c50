// Attention to BEV cells and group norm against their definitions in plain loops.
#include "runtime/ops/cell_attention.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "runtime/ops/group_norm.h"
#include "tests/support/cpu_context.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

using Numbers = std::vector<double>;

Variable constant(Context& context, const Shape& shape, const Numbers& numbers) {
  const Tensor out = context.empty(shape);
  std::copy(numbers.begin(), numbers.end(), out.data<double>());
  return Variable(out);
}

Numbers softmax(const Numbers& x) {
  double sum = 0;
  for (const double value : x) sum += std::exp(value);
  Numbers out;
  for (const double value : x) out.push_back(std::exp(value) / sum);
  return out;
}

Numbers part(const Numbers& all, size_t index, size_t size) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(index * size);
  return {begin, begin + static_cast<std::ptrdiff_t>(size)};
}

void check_close(const Variable& y, const Numbers& expected) {
  REQUIRE(y.size() == static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(y.value().data<double>()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

}  // namespace

TEST_CASE("attention weighs cells by the softmax of their scores, resized where there are more cells than scores") {
  constexpr size_t samples = 3, scores = 6, width = 5, extra = 2;
  for (const size_t cells : {size_t{6}, size_t{19}}) {
    CpuContext cpu;
    ParameterStore store;
    const Numbers matrix = random_numbers<double>(cells * scores, 1);
    const Parameter& table = store.declare_table("resize", matrix);
    store.allocate(*cpu.context.arena, DType::f64, {},
                   [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
    std::copy(matrix.begin(), matrix.end(), table.value.data<double>());
    const Numbers s = random_numbers<double>(samples * scores, 2),
                  t = random_numbers<double>(samples * cells * width, 3),
                  a = random_numbers<double>(samples * extra, 4);
    const bool resized = cells != scores;

    Numbers expected;
    for (size_t n = 0; n < samples; ++n) {
      Numbers p = softmax(part(s, n, scores));
      if (resized) {
        Numbers larger(cells);
        for (size_t i = 0; i < cells * scores; ++i) larger[i / scores] += matrix[i] * p[i % scores];
        p = softmax(larger);
      }
      Numbers row(width);
      for (size_t i = 0; i < cells * width; ++i) row[i % width] += p[i / width] * t[n * cells * width + i];
      expected.insert(expected.end(), row.begin(), row.end());
      for (const double value : part(a, n, extra)) expected.push_back(value);
    }
    const auto size = [](size_t value) { return static_cast<int64_t>(value); };
    check_close(attend_to_cells(cpu.context, constant(cpu.context, {samples, scores}, s), resized ? &table : nullptr,
                                constant(cpu.context, {samples, size(cells), width}, t),
                                constant(cpu.context, {samples, extra}, a)),
                expected);
  }
}

TEST_CASE("attention to cells refuses what does not fit together") {
  CpuContext cpu;
  const auto of = [&](const Shape& shape) { return Variable(cpu.context.empty(shape)); };
  CHECK_THROWS_WITH_AS(attend_to_cells(cpu.context, of({1, 4}), nullptr, of({1, 5, 2}), of({1, 2})),
                       doctest::Contains("4 scores cannot weigh 5 BEV cells"), Error);
  const Variable bytes(cpu.context.empty({1, 4, 2}, DType::u8));
  CHECK_THROWS_WITH_AS(attend_to_cells(cpu.context, of({1, 4}), nullptr, bytes, of({1, 2})),
                       doctest::Contains("BEV tokens of type U8 are not supported"), Error);
}

TEST_CASE("group norm normalises every group of features by itself") {
  constexpr size_t rows = 4, groups = 3, group = 5;
  CpuContext cpu;
  ParameterStore store;
  Parameter& gamma = store.declare("weight", {groups * group}, Init::constant(1));
  Parameter& beta = store.declare("bias", {groups * group}, Init::constant(0));
  store.allocate(*cpu.context.arena, DType::f64, {&gamma, &beta},
                 [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
  const Numbers x = random_numbers<double>(rows * groups * group, 1);
  for (size_t i = 0; i < groups * group; ++i) {
    gamma.value.data<double>()[i] = 1 + 0.1 * static_cast<double>(i);
    beta.value.data<double>()[i] = 0.3 * static_cast<double>(i);
  }
  Numbers expected;
  for (size_t g = 0; g < rows * groups; ++g) {
    double mean = 0, variance = 0;
    for (const double value : part(x, g, group)) mean += value / group;
    for (const double value : part(x, g, group)) variance += (value - mean) * (value - mean) / group;
    for (size_t i = 0; i < group; ++i) {
      const auto feature = static_cast<double>(g % groups * group + i);
      const double normal = (x[g * group + i] - mean) / std::sqrt(variance + 1e-5);
      expected.push_back(normal * (1 + 0.1 * feature) + 0.3 * feature);
    }
  }
  check_close(group_norm(cpu.context, constant(cpu.context, {rows, groups * group}, x), gamma, beta, groups), expected);
  CHECK_THROWS_WITH_AS(group_norm(cpu.context, constant(cpu.context, {rows, groups * group}, x), gamma, beta, 4),
                       doctest::Contains("4 groups of 15 features"), Error);
}

}  // namespace bev::test
