// RMS normalisation of each attention head's slice of a row (Zhang and Sennrich 2019, eq. 4), with one weight for all
// heads, and rotary position embedding (Su et al. 2021, eq. 34, rotate-half form) where queries and keys are of equal
// number:
//     n = x * rsqrt(mean(x^2) + eps),   m = n * weight,   y = rotate(m, position)
// One row of a launch is one head's slice of `width` elements; position = token index modulo `positions` (0: no
// rotation). `weight` is null where the plain n is wanted.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"

namespace bev {

/// Cosine and sine of rotary pair `i` of a slice of `width`, at token `position`.
template <class T>
struct Rotation {
  T cos, sin;
  BEV_HD Rotation(int64_t position, int64_t i, int64_t width) {
    const T angle = static_cast<T>(position) * std::pow(T(10000), -static_cast<T>(2 * i) / static_cast<T>(width));
    cos = std::cos(angle);
    sin = std::sin(angle);
  }
};

template <class T>
struct HeadNormForward {
  using Element = T;
  const T *x, *weight;  // [rows, width], [width] or null
  T *y, *rstd;          // [rows, width], [rows]
  int64_t width, heads, positions;
  T eps;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T* in = x + row * width;
    T* out = y + row * width;
    const T r =
        1 /
        std::sqrt(team.template sum<T>(width, [&](int64_t i) { return in[i] * in[i]; }) / static_cast<T>(width) + eps);
    if (team.leader()) rstd[row] = r;
    if (positions == 0) {
      team.each(width, [&](int64_t i) { out[i] = in[i] * r * (weight ? weight[i] : T(1)); });
      return;
    }
    const int64_t half = width / 2, position = row / heads % positions;
    team.each(half, [&](int64_t i) {
      const Rotation<T> turn(position, i, width);
      const T a = in[i] * r * (weight ? weight[i] : T(1)), b = in[i + half] * r * (weight ? weight[i + half] : T(1));
      out[i] = a * turn.cos - b * turn.sin;
      out[i + half] = b * turn.cos + a * turn.sin;
    });
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(rows * width); }
};

/// d_m, the gradient before the rotation, is written to `d_m` (which may be d_y itself) since the weight's gradient
/// needs it too.
template <class T>
struct RotateBack {
  using Element = T;
  const T* d_y;
  T* d_m;
  int64_t width, heads, positions;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t half = width / 2, position = row / heads % positions;
    const T* in = d_y + row * width;
    T* out = d_m + row * width;
    team.each(half, [&](int64_t i) {
      const Rotation<T> turn(position, i, width);
      const T a = in[i], b = in[i + half];
      out[i] = a * turn.cos + b * turn.sin;
      out[i + half] = b * turn.cos - a * turn.sin;
    });
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(rows * width); }
};

template <class T>
struct HeadNormBackward {
  using Element = T;
  const T *d_m, *x, *weight, *rstd;  // weight may be null
  T* d_x;
  int64_t width;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T *in = x + row * width, *d = d_m + row * width;
    T* out = d_x + row * width;
    const T r = rstd[row];
    const auto d_n = [&](int64_t i) { return weight ? d[i] * weight[i] : d[i]; };
    const T mean = team.template sum<T>(width, [&](int64_t i) { return d_n(i) * in[i]; }) * r / static_cast<T>(width);
    team.each(width, [&](int64_t i) {
      const T value = r * (d_n(i) - in[i] * r * mean);
      out[i] = accumulate ? out[i] + value : value;
    });
  }
  double bytes(int64_t rows) const { return (accumulate ? 4.0 : 3.0) * sizeof(T) * static_cast<double>(rows * width); }
};

/// The weight's gradient: sum over rows of d_m * n.
template <class T>
struct HeadNormWeightGradient {
  using Element = T;
  static constexpr int sums = 1;
  const T *d_m, *x, *rstd;
  T* d_weight;
  int64_t width;
  bool accumulate;

  BEV_HD std::array<T, 1> value(int64_t row, int64_t col) const {
    return {d_m[row * width + col] * x[row * width + col] * rstd[row]};
  }
  BEV_HD void finish(int64_t col, const std::array<T, 1>& total) const {
    d_weight[col] = accumulate ? d_weight[col] + total[0] : total[0];
  }
  double bytes(int64_t elements) const { return 2.0 * sizeof(T) * static_cast<double>(elements); }
};

}  // namespace bev
