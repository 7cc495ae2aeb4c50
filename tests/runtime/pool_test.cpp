// Pools at the edges of images, against numbers worked out by hand.
#include "runtime/ops/pool.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/support/cpu_context.h"

namespace bev::test {

namespace {

/// An image of one channel; y by rows.
template <class Pool>
std::vector<double> pooled(const Shape& shape, const std::vector<double>& numbers, Pool pool, const Shape& expected) {
  CpuContext cpu;
  const Tensor x = cpu.context.empty(shape);
  std::copy(numbers.begin(), numbers.end(), x.data<double>());
  const Variable y = pool(cpu.context, Variable(x));
  CHECK(y.shape() == expected);
  return {y.value().data<double>(), y.value().data<double>() + y.size()};
}

/// The gradient of the sum of max_pool over `numbers`.
std::vector<double> max_pool_gradient(const Shape& shape, const std::vector<double>& numbers) {
  CpuContext cpu;
  const Tensor x = cpu.context.empty(shape);
  std::copy(numbers.begin(), numbers.end(), x.data<double>());
  const Variable input = cpu.context.tape.output(x);
  const Variable y = max_pool(cpu.context, input);
  cpu.context.tape.backward(y, [&](const Tensor& d_y, bool) { std::fill_n(d_y.data<double>(), d_y.size(), 1.0); });
  const Tensor gradient = input.gradient()->gradient;
  return {gradient.data<double>(), gradient.data<double>() + gradient.size()};
}

}  // namespace

TEST_CASE("max_pool sees what lies inside the image, whatever its sign") {
  const std::vector<double> even = {-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12, -13, -14, -15, -16};
  CHECK(pooled({1, 4, 4, 1}, even, max_pool, {1, 2, 2, 1}) == std::vector<double>{-1, -2, -5, -6});
  const std::vector<double> odd = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  CHECK(pooled({1, 3, 3, 1}, odd, max_pool, {1, 2, 2, 1}) == std::vector<double>{5, 6, 8, 9});
  CHECK(pooled({1, 1, 1, 1}, {-7}, max_pool, {1, 1, 1, 1}) == std::vector<double>{-7});
}

TEST_CASE("max_pool keeps images and channels apart") {
  // Two images of 1x2 pixels and 2 channels.
  const std::vector<double> x = {1, 8, 2, 7, -3, -6, -4, -5};
  CHECK(pooled({2, 1, 2, 2}, x, max_pool, {2, 1, 1, 2}) == std::vector<double>{2, 8, -3, -5});
}

TEST_CASE("the first of equal maxima gets the gradient, once for every window that chose it") {
  CHECK(max_pool_gradient({1, 2, 2, 1}, {5, 5, 5, 5}) == std::vector<double>{1, 0, 0, 0});
  CHECK(max_pool_gradient({1, 3, 3, 1}, {0, 0, 0, 0, 9, 0, 0, 0, 0}) == std::vector<double>{0, 0, 0, 0, 4, 0, 0, 0, 0});
}

TEST_CASE("max_pool does not hide what is not a number") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (size_t place = 0; place < 4; ++place) {
    std::vector<double> x = {1, 2, 3, 4};
    x[place] = nan;
    CHECK(std::isnan(pooled({1, 2, 2, 1}, x, max_pool, {1, 1, 1, 1})[0]));
  }
}

TEST_CASE("average_pool divides by the pixels that are there") {
  CHECK(pooled({1, 2, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8}, average_pool, {1, 1, 2, 1}) == std::vector<double>{3.5, 5.5});
  CHECK(pooled({1, 3, 3, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, average_pool, {1, 2, 2, 1}) ==
        std::vector<double>{3, 4.5, 7.5, 9});
}

}  // namespace bev::test
