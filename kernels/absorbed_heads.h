// The small kernels around projections that attention moves from its many keys to its few queries: the key norm's
// weight on the absorbed query, and the value bias, which carries the row sums of the dropped probabilities.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/annotate.h"

namespace bev {

/// y = x * weight * scale on slices: one row of the launch is one slice. y may be x.
template <class T>
struct ScaleSlices {
  using Element = T;
  const T *x, *weight;  // [rows, width], [width]
  T* y;
  int64_t width;
  T scale;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t first = row * width;
    team.each(width, [&](int64_t i) { y[first + i] = x[first + i] * weight[i] * scale; });
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(rows * width); }
};

/// The gradient of the slices' weight: sum over slices of d_y * x * scale.
template <class T>
struct SliceWeightGradient {
  using Element = T;
  static constexpr int sums = 1;
  const T *d_y, *x;  // [rows, width]
  T* d_weight;
  int64_t width;
  T scale;
  bool accumulate;

  BEV_HD std::array<T, 1> value(int64_t row, int64_t col) const {
    return {d_y[row * width + col] * x[row * width + col]};
  }
  BEV_HD void finish(int64_t col, const std::array<T, 1>& total) const {
    d_weight[col] = accumulate ? d_weight[col] + total[0] * scale : total[0] * scale;
  }
  double bytes(int64_t elements) const { return 2.0 * sizeof(T) * static_cast<double>(elements); }
};

/// y = r * bias, r one number a head (1 where `sums` is null): what a product then adds to.
template <class T>
struct SpreadValueBias {
  using Element = T;
  const T *sums, *bias;  // [rows, heads] or null, [heads * slice]
  T* y;                  // [rows, heads * slice]
  int64_t heads, slice;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    for (int64_t head = 0; head < heads; ++head) {
      const T r = sums ? sums[row * heads + head] : T(1);
      const int64_t first = head * slice, at = row * heads * slice + first;
      team.each(slice, [&](int64_t i) { y[at + i] = r * bias[first + i]; });
    }
  }
  double bytes(int64_t rows) const { return 1.0 * sizeof(T) * static_cast<double>(rows * heads * slice); }
};

/// d_r = d_y . bias, head by head, and r * d_y, whose sum over rows is the bias's gradient. One row of the launch is
/// one head of one row.
template <class T>
struct ValueBiasBackward {
  using Element = T;
  const T *d_y, *bias, *sums;  // [rows, heads * slice], [heads * slice], [rows, heads]
  T *d_sums, *scaled;          // d_sums [rows, heads]; scaled [rows, heads * slice]
  int64_t heads, slice;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T *d = d_y + row * slice, *b = bias + row % heads * slice;
    const T r = sums[row];
    const T total = team.template sum<T>(slice, [&](int64_t i) { return d[i] * b[i]; });
    if (team.leader()) d_sums[row] = accumulate ? d_sums[row] + total : total;
    T* out = scaled + row * slice;
    team.each(slice, [&](int64_t i) { out[i] = r * d[i]; });
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(rows * slice); }
};

}  // namespace bev
