// Sums over rows: out[col] = sum over rows of x[row, col]. The gradient of a bias.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/annotate.h"

namespace bev {

template <class T>
struct ColumnSum {
  using Element = T;
  static constexpr int sums = 1;
  const T* x;  // [rows, cols]
  T* out;      // [cols]
  int64_t cols;
  bool accumulate;

  BEV_HD std::array<T, 1> value(int64_t row, int64_t col) const { return {x[row * cols + col]}; }
  BEV_HD void finish(int64_t col, const std::array<T, 1>& total) const {
    out[col] = accumulate ? out[col] + total[0] : total[0];
  }
  double bytes(int64_t elements) const { return 1.0 * sizeof(T) * static_cast<double>(elements); }
};

}  // namespace bev
