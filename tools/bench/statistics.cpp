#include "tools/bench/statistics.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace bev {

Spread spread_of(std::vector<double> values) {
  if (values.empty()) fail(ErrorKind::usage, "nothing was measured: expected at least one repetition");
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double q) {
    const double place = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values.size() - 1);
    const double share = place - static_cast<double>(below);
    return values[below] * (1 - share) + values[above] * share;
  };
  return {values.size(), values.front(), quantile(0.25), quantile(0.5), quantile(0.75), values.back()};
}

std::string milliseconds(const Spread& s) {
  return fmt::format("{:.1f} ms ({:.1f} .. {:.1f}, quartiles {:.1f} and {:.1f}, {} times)", s.median * 1e3, s.min * 1e3,
                     s.max * 1e3, s.lower_quartile * 1e3, s.upper_quartile * 1e3, s.count);
}

double fitted_exponent(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() != y.size() || x.size() < 2) {
    fail(ErrorKind::usage, "an exponent needs at least two points, and an y to every x");
  }
  const auto n = static_cast<double>(x.size());
  double mean_x = 0, mean_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!(x[i] > 0 && y[i] > 0)) fail(ErrorKind::usage, "an exponent needs positive numbers");
    mean_x += std::log(x[i]) / n;
    mean_y += std::log(y[i]) / n;
  }
  double square = 0, product = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    square += (std::log(x[i]) - mean_x) * (std::log(x[i]) - mean_x);
    product += (std::log(x[i]) - mean_x) * (std::log(y[i]) - mean_y);
  }
  if (!(square > 0)) fail(ErrorKind::usage, "an exponent needs at least two different x");
  return product / square;
}

}  // namespace bev
