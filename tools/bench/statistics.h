// What many repetitions of a measurement say: the middle and how far they spread, and by which power cost grows.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace bev {

/// Order statistics of a sample; quantiles lie between neighbours where they fall between two (linear interpolation).
struct Spread {
  size_t count = 0;
  double min = 0, lower_quartile = 0, median = 0, upper_quartile = 0, max = 0;
};

/// Throws Error(usage) where there is nothing to describe.
Spread spread_of(std::vector<double> values);

/// "712.3 ms (706.0 .. 741.9, quartiles 709.1 and 719.0, 20 times)"; `values` are seconds.
std::string milliseconds(const Spread& seconds);

/// The exponent p of y = c x^p that fits best: the slope of the line of least squares through (log x, log y). All
/// numbers are positive and there are at least two different x; else throws Error(usage).
double fitted_exponent(const std::vector<double>& x, const std::vector<double>& y);

}  // namespace bev
