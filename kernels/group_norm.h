// Group normalisation of feature vectors (Wu and He 2018, eq. 1 and 7, without spatial extent): each group of
// `group` consecutive features of a row is normalised by itself, and every feature has its own affine map,
//     n = (x - mean) * rstd,   y = n * gamma + beta
// One row of a launch is one group of one sample. The forward pass keeps n, from which all gradients follow.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"

namespace bev {

template <class T>
struct GroupNormForward {
  using Element = T;
  const T *x, *gamma, *beta;  // [rows, groups * group], [groups * group] twice
  T *y, *n, *rstd;            // [rows, groups * group] twice, [rows * groups]
  int64_t groups, group;
  T eps;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t first = row % groups * group;  // feature
    const T *in = x + row * group, *factor = gamma + first, *offset = beta + first;
    T *out = y + row * group, *normal = n + row * group;
    const T mean = team.template sum<T>(group, [&](int64_t i) { return in[i]; }) / static_cast<T>(group);
    const T variance =
        team.template sum<T>(group, [&](int64_t i) { return (in[i] - mean) * (in[i] - mean); }) / static_cast<T>(group);
    const T r = 1 / std::sqrt(variance + eps);
    if (team.leader()) rstd[row] = r;
    team.each(group, [&](int64_t i) {
      const T value = (in[i] - mean) * r;
      normal[i] = value;
      out[i] = value * factor[i] + offset[i];
    });
  }
  double bytes(int64_t rows) const { return 3.0 * sizeof(T) * static_cast<double>(rows * group); }
};

template <class T>
struct GroupNormBackward {
  using Element = T;
  const T *d_y, *n, *rstd, *gamma;
  T* d_x;
  int64_t groups, group;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T *d = d_y + row * group, *normal = n + row * group, *factor = gamma + row % groups * group;
    T* out = d_x + row * group;
    const T r = rstd[row], size = static_cast<T>(group);
    const T mean_d = team.template sum<T>(group, [&](int64_t i) { return d[i] * factor[i]; }) / size;
    const T mean_dn = team.template sum<T>(group, [&](int64_t i) { return d[i] * factor[i] * normal[i]; }) / size;
    team.each(group, [&](int64_t i) {
      const T value = r * (d[i] * factor[i] - mean_d - normal[i] * mean_dn);
      out[i] = accumulate ? out[i] + value : value;
    });
  }
  double bytes(int64_t rows) const { return (accumulate ? 4.0 : 3.0) * sizeof(T) * static_cast<double>(rows * group); }
};

template <class T>
struct GroupNormWeightGradient {
  using Element = T;
  static constexpr int sums = 2;
  const T *d_y, *n;
  T *d_gamma, *d_beta;
  int64_t width;
  bool accumulate_gamma, accumulate_beta;

  BEV_HD std::array<T, 2> value(int64_t row, int64_t col) const {
    const T d = d_y[row * width + col];
    return {d * n[row * width + col], d};
  }
  BEV_HD void finish(int64_t col, const std::array<T, 2>& total) const {
    d_gamma[col] = accumulate_gamma ? d_gamma[col] + total[0] : total[0];
    d_beta[col] = accumulate_beta ? d_beta[col] + total[1] : total[1];
  }
  double bytes(int64_t elements) const { return 2.0 * sizeof(T) * static_cast<double>(elements); }
};

}  // namespace bev
