// Copies of rows between layouts, and constant values: joining and cutting sequences of tokens, repeating a row,
// regrouping columns.
#pragma once

#include <cstdint>

#include "kernels/team.h"

namespace bev {

template <class T>
struct Fill {
  using Element = T;
  T* out;
  T value;
  BEV_HD void operator()(int64_t i) const { out[i] = value; }
  double bytes(int64_t n) const { return 1.0 * sizeof(T) * static_cast<double>(n); }
};

/// Row (o, i) of the launch, o = row / inner, i = row % inner: `width` elements from x + o * x_outer + i * x_inner are
/// written, or added, to y + o * y_outer + i * y_inner. A stride of 0 in x repeats.
template <class T>
struct CopyRows {
  using Element = T;
  const T* x;
  T* y;
  int64_t width, inner;
  int64_t x_outer, x_inner, y_outer, y_inner;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t o = row / inner, i = row % inner;
    const T* from = x + o * x_outer + i * x_inner;
    write_each(team, width, y + o * y_outer + i * y_inner, accumulate, [&](int64_t e) { return from[e]; });
  }
  double bytes(int64_t rows) const { return (accumulate ? 3.0 : 2.0) * sizeof(T) * static_cast<double>(rows * width); }
};

}  // namespace bev
