// Layer normalisation of rows with a learned affine map and, optionally, a modulation per sample:
//     n = (x - mean) * rstd,  a = n * gamma + beta,  y = a (1 + scale) + shift
// (Ba et al. 2016, eq. 4; the modulation is adaptive layer norm, Peebles and Xie 2023, section 3.2). A sample owns
// `rows_per_sample` consecutive rows; shift and scale are null where there is no modulation.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/team.h"

namespace bev {

template <class T>
struct LayerNormForward {
  using Element = T;
  const T *x, *gamma, *beta;  // [rows, width], [width], [width]
  const T *shift, *scale;     // [samples, width], or null
  T *y, *mean, *rstd;         // [rows, width], [rows], [rows]
  int64_t width, rows_per_sample;
  T eps;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T* in = x + row * width;
    T* out = y + row * width;
    const T m = team.template sum<T>(width, [&](int64_t i) { return in[i]; }) / width;
    const T variance = team.template sum<T>(width, [&](int64_t i) { return (in[i] - m) * (in[i] - m); }) / width;
    const T r = 1 / std::sqrt(variance + eps);
    if (team.leader()) {
      mean[row] = m;
      rstd[row] = r;
    }
    if (shift) {
      const int64_t sample = row / rows_per_sample * width;
      team.each(width, [&](int64_t i) {
        out[i] = ((in[i] - m) * r * gamma[i] + beta[i]) * (1 + scale[sample + i]) + shift[sample + i];
      });
    } else {
      team.each(width, [&](int64_t i) { out[i] = (in[i] - m) * r * gamma[i] + beta[i]; });
    }
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(rows * width); }
};

template <class T>
struct LayerNormBackward {
  using Element = T;
  const T *d_y, *x, *mean, *rstd, *gamma;
  const T* scale;  // [samples, width], or null
  T* d_x;
  int64_t width, rows_per_sample;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T *dy = d_y + row * width, *in = x + row * width;
    const T* factor = scale ? scale + row / rows_per_sample * width : nullptr;
    T* out = d_x + row * width;
    const T m = mean[row], r = rstd[row];
    const auto d_n = [&](int64_t i) { return dy[i] * gamma[i] * (factor ? 1 + factor[i] : T(1)); };
    const T mean_d = team.template sum<T>(width, [&](int64_t i) { return d_n(i); }) / width;
    const T mean_dn = team.template sum<T>(width, [&](int64_t i) { return d_n(i) * (in[i] - m) * r; }) / width;
    team.each(width, [&](int64_t i) {
      const T d = r * (d_n(i) - mean_d - (in[i] - m) * r * mean_dn);
      out[i] = accumulate ? out[i] + d : d;
    });
  }
  double bytes(int64_t rows) const { return (accumulate ? 4.0 : 3.0) * sizeof(T) * static_cast<double>(rows * width); }
};

/// Gradients of gamma and beta: sums over all rows.
template <class T>
struct LayerNormWeightGradient {
  using Element = T;
  static constexpr int sums = 2;
  const T *d_y, *x, *mean, *rstd;
  const T* scale;  // [samples, width], or null
  T *d_gamma, *d_beta;
  int64_t width, rows_per_sample;
  bool accumulate_gamma, accumulate_beta;

  BEV_HD std::array<T, 2> value(int64_t row, int64_t col) const {
    T d = d_y[row * width + col];
    if (scale) d *= 1 + scale[row / rows_per_sample * width + col];
    return {d * (x[row * width + col] - mean[row]) * rstd[row], d};
  }
  BEV_HD void finish(int64_t col, const std::array<T, 2>& total) const {
    d_gamma[col] = accumulate_gamma ? d_gamma[col] + total[0] : total[0];
    d_beta[col] = accumulate_beta ? d_beta[col] + total[1] : total[1];
  }
  double bytes(int64_t elements) const { return 2.0 * sizeof(T) * static_cast<double>(elements); }
};

/// Gradients of shift (sum of d_y over a sample's rows) and scale (sum of d_y * a). One row of the launch is one
/// ColumnBlock.
template <class T>
struct ModulationGradient {
  using Element = T;
  const T *d_y, *x, *mean, *rstd, *gamma, *beta;
  T *d_shift, *d_scale;  // [samples, width]
  int64_t width, rows_per_sample;
  bool accumulate_shift, accumulate_scale;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t block_row) const {
    const ColumnBlock block(block_row, width);
    const int64_t first_row = block.sample * rows_per_sample;
    team.template columns<T, 2>(
        rows_per_sample, block.count,
        [&](int64_t r, int64_t j) -> std::array<T, 2> {
          const int64_t row = first_row + r, i = block.first + j, at = row * width + i;
          return {d_y[at], d_y[at] * ((x[at] - mean[row]) * rstd[row] * gamma[i] + beta[i])};
        },
        [&](int64_t j, const std::array<T, 2>& total) {
          const int64_t at = block.sample * width + block.first + j;
          d_shift[at] = accumulate_shift ? d_shift[at] + total[0] : total[0];
          d_scale[at] = accumulate_scale ? d_scale[at] + total[1] : total[1];
        });
  }
  double bytes(int64_t rows) const {
    return 2.0 * sizeof(T) * static_cast<double>(rows / ColumnBlock::blocks(width) * rows_per_sample * width);
  }
};

}  // namespace bev
