// Standardising values coordinate by coordinate: y = (x - mean) / deviation. No gradient: it is applied to data.
#pragma once

#include <cstdint>

#include "kernels/annotate.h"

namespace bev {

template <class T>
struct Standardize {
  using Element = T;
  const T *x, *mean, *inverse;  // [n, width], [width], [width]
  T* y;
  int64_t width;

  BEV_HD void operator()(int64_t i) const {
    const int64_t column = i % width;
    y[i] = (x[i] - mean[column]) * inverse[column];
  }
  double bytes(int64_t n) const { return 2.0 * sizeof(T) * static_cast<double>(n); }
};

}  // namespace bev
