// The branch-free functions against the standard library in double, over all magnitudes of float.
#include "kernels/math.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace {

/// The largest error of f in units of the last place of the true value, over floats in [low, high] whose true value is
/// normal.
template <class F, class Truth>
double worst_ulp(F f, Truth truth, float low, float high) {
  double worst = 0;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 99991) {  // a prime: all exponents, all low bits
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (!(x >= low && x <= high)) continue;
    const double expected = truth(static_cast<double>(x));
    const float nearest = std::abs(static_cast<float>(expected));
    if (!std::isnormal(nearest)) continue;
    const double ulp = static_cast<double>(std::nextafter(nearest, HUGE_VALF)) - static_cast<double>(nearest);
    worst = std::max(worst, std::abs(static_cast<double>(f(x)) - expected) / ulp);
  }
  return worst;
}

}  // namespace

namespace bev {

TEST_CASE("branch-free functions are within a few units of the last place") {
  CHECK(worst_ulp(
            branch_free::exp<float>, [](double x) { return std::exp(x); }, -87.3f, 88.37f) < 1);
  CHECK(worst_ulp(
            branch_free::erf<float>, [](double x) { return std::erf(x); }, -20, 20) < 4.5);
  CHECK(worst_ulp(
            branch_free::tanh<float>, [](double x) { return std::tanh(x); }, -20, 20) < 4.5);
  CHECK(worst_ulp(
            branch_free::sigmoid<float>, [](double x) { return 1 / (1 + std::exp(-x)); }, -80, 80) < 2.5);
}

TEST_CASE("branch-free functions at the ends of their range") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(branch_free::exp(-infinity) == 0);
  CHECK(branch_free::exp(infinity) == infinity);
  CHECK(branch_free::exp(0.0f) == 1);
  CHECK(branch_free::erf(infinity) == 1);
  CHECK(branch_free::erf(-infinity) == -1);
  CHECK(branch_free::tanh(-infinity) == -1);
  CHECK(branch_free::sigmoid(-infinity) == 0);
  CHECK(branch_free::sigmoid(infinity) == 1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float y : {branch_free::exp(nan), branch_free::erf(nan), branch_free::tanh(nan)}) CHECK(std::isnan(y));
}

}  // namespace bev
