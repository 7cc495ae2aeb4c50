// A gated residual and the modulated layer norm behind it, in one pass over the rows (kernels/residual.h,
// kernels/layer_norm.h):
//     s = x + gate * f,   y = (n gamma + beta) (1 + scale) + shift,   n = (s - mean) rstd
// and their gradients in three: rows; sums over a sample's rows; and from those sums, for every column, the gradients
// of shift, scale, gamma and beta, since with S0 = sum of d_y and S1 = sum of d_y n over a sample's rows
//     d_shift = S0,  d_scale = gamma S1 + beta S0,  d_gamma = sum_samples (1 + scale) S1,  d_beta likewise with S0.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/team.h"

namespace bev {

template <class T>
struct ResidualNormForward {
  using Element = T;
  const T *x, *gate, *f;                  // [rows, width], [samples, width], [rows, width]
  const T *gamma, *beta, *shift, *scale;  // [width], [width], [samples, width], [samples, width]
  T *s, *y, *mean, *rstd;                 // [rows, width], [rows, width], [rows], [rows]
  int64_t width, rows_per_sample;
  T eps;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t sample = row / rows_per_sample * width;
    const T *in = x + row * width, *term = f + row * width;
    const T *g = gate + sample, *by = shift + sample, *factor = scale + sample;
    T *sum = s + row * width, *out = y + row * width;
    team.each(width, [&](int64_t i) { sum[i] = in[i] + g[i] * term[i]; });
    const T m = team.template sum<T>(width, [&](int64_t i) { return sum[i]; }) / static_cast<T>(width);
    const T variance = team.template sum<T>(width, [&](int64_t i) { return (sum[i] - m) * (sum[i] - m); });
    const T r = 1 / std::sqrt(variance / static_cast<T>(width) + eps);
    if (team.leader()) {
      mean[row] = m;
      rstd[row] = r;
    }
    team.each(width, [&](int64_t i) { out[i] = ((sum[i] - m) * r * gamma[i] + beta[i]) * (1 + factor[i]) + by[i]; });
  }
  double bytes(int64_t rows) const { return 4.0 * sizeof(T) * static_cast<double>(rows * width); }
};

/// One row: d_s becomes d_s + (gradient through the norm), which is also d_x, and d_f = gate * d_s.
template <class T>
struct ResidualNormBackward {
  using Element = T;
  const T *d_y, *s, *mean, *rstd, *gamma, *scale, *gate;
  T *d_s, *d_f;
  int64_t width, rows_per_sample;
  bool has_d_s, accumulate_f;  // whether d_s holds the gradient of s from elsewhere, or nothing yet

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t sample = row / rows_per_sample * width;
    const T *dy = d_y + row * width, *in = s + row * width, *factor = scale + sample, *g = gate + sample;
    T* out = d_s + row * width;
    const T m = mean[row], r = rstd[row];
    const auto d_n = [&](int64_t i) { return dy[i] * gamma[i] * (1 + factor[i]); };
    const T mean_d = team.template sum<T>(width, [&](int64_t i) { return d_n(i); }) / static_cast<T>(width);
    const T mean_dn =
        team.template sum<T>(width, [&](int64_t i) { return d_n(i) * (in[i] - m) * r; }) / static_cast<T>(width);
    write_each(team, width, out, has_d_s, [&](int64_t i) { return r * (d_n(i) - mean_d - (in[i] - m) * r * mean_dn); });
    write_each(team, width, d_f + row * width, accumulate_f, [&](int64_t i) { return g[i] * out[i]; });
  }
  double bytes(int64_t rows) const {
    return (4.0 + has_d_s + accumulate_f) * sizeof(T) * static_cast<double>(rows * width);
  }
};

/// Sums over the rows of a sample. One row of the launch is one ColumnBlock.
template <class T>
struct ResidualNormSums {
  using Element = T;
  const T *d_y, *s, *mean, *rstd;
  const T *d_s, *f;  // d_s as the rows' pass left it
  T *sum0, *sum1;    // [samples, width]
  T* d_gate;         // [samples, width]
  int64_t width, rows_per_sample;
  bool accumulate_gate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t block_row) const {
    const ColumnBlock block(block_row, width);
    const int64_t first_row = block.sample * rows_per_sample;
    team.template columns<T, 3>(
        rows_per_sample, block.count,
        [&](int64_t r, int64_t j) -> std::array<T, 3> {
          const int64_t row = first_row + r, at = row * width + block.first + j;
          return {d_y[at], d_y[at] * (s[at] - mean[row]) * rstd[row], d_s[at] * f[at]};
        },
        [&](int64_t j, const std::array<T, 3>& total) {
          const int64_t at = block.sample * width + block.first + j;
          sum0[at] = total[0];
          sum1[at] = total[1];
          d_gate[at] = accumulate_gate ? d_gate[at] + total[2] : total[2];
        });
  }
  double bytes(int64_t rows) const {
    return 4.0 * sizeof(T) * static_cast<double>(rows / ColumnBlock::blocks(width) * rows_per_sample * width);
  }
};

/// One row of the launch is a ColumnBlock of all samples together.
template <class T>
struct ResidualNormColumns {
  using Element = T;
  const T *sum0, *sum1, *gamma, *beta, *scale;
  T *d_shift, *d_scale;  // [samples, width]
  T *d_gamma, *d_beta;   // [width], or null
  int64_t width, samples;
  bool accumulate_shift, accumulate_scale, accumulate_gamma, accumulate_beta;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const ColumnBlock block(row, width);
    const int64_t first = block.first, count = block.count;
    for (int64_t b = 0; b < samples; ++b) {
      const int64_t at = b * width + first;
      const T *s0 = sum0 + at, *s1 = sum1 + at, *weight = gamma + first, *bias = beta + first;
      write_each(team, count, d_shift + at, accumulate_shift, [&](int64_t i) { return s0[i]; });
      write_each(team, count, d_scale + at, accumulate_scale,
                 [&](int64_t i) { return weight[i] * s1[i] + bias[i] * s0[i]; });
    }
    if (!d_gamma) return;
    T *gamma_out = d_gamma + first, *beta_out = d_beta + first;
    team.template columns<T, 2>(
        samples, count,
        [&](int64_t b, int64_t i) -> std::array<T, 2> {
          const int64_t at = b * width + first + i;
          const T factor = 1 + scale[at];
          return {factor * sum1[at], factor * sum0[at]};
        },
        [&](int64_t i, const std::array<T, 2>& total) {
          gamma_out[i] = accumulate_gamma ? gamma_out[i] + total[0] : total[0];
          beta_out[i] = accumulate_beta ? beta_out[i] + total[1] : total[1];
        });
  }
  double bytes(int64_t) const {
    const double read = d_gamma ? 3.0 : 2.0, written = 2.0 + accumulate_shift + accumulate_scale;
    return (read + written) * sizeof(T) * static_cast<double>(samples * width);
  }
};

}  // namespace bev
