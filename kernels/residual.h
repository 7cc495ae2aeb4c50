// Sums along a residual stream. Gated: y = x + gate * f with one gate a sample, as in adaptive layer norm (Peebles and
// Xie 2023, section 3.2); where f holds several answers to the same rows x, each is added to x on its own. And the
// trajectory head's u + gelu(g), which only the last tokens of a sequence need.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/activation.h"
#include "kernels/team.h"

namespace bev {

/// Sizes of a gated residual: a sample has `rows` rows of f and y, and `x_rows` of x, row r of f going with row r %
/// x_rows of x.
struct GatedShape {
  int64_t rows, x_rows, width;
};

template <class T>
struct GatedResidualForward {
  using Element = T;
  const T *x, *gate, *f;  // [samples, x_rows, width], [samples, width], [samples, rows, width]
  T* y;                   // [samples, rows, width]
  GatedShape shape;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t sample = row / shape.rows, r = row % shape.rows % shape.x_rows;
    const T *in = x + (sample * shape.x_rows + r) * shape.width, *g = gate + sample * shape.width;
    const T* term = f + row * shape.width;
    T* out = y + row * shape.width;
    team.each(shape.width, [&](int64_t i) { out[i] = in[i] + g[i] * term[i]; });
  }
  double bytes(int64_t rows) const { return 3.0 * sizeof(T) * static_cast<double>(rows * shape.width); }
};

/// d_f = gate * d_y
template <class T>
struct GatedBranchGradient {
  using Element = T;
  const T *d_y, *gate;
  T* d_f;
  GatedShape shape;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T *d = d_y + row * shape.width, *g = gate + row / shape.rows * shape.width;
    write_each(team, shape.width, d_f + row * shape.width, accumulate, [&](int64_t i) { return g[i] * d[i]; });
  }
  double bytes(int64_t rows) const {
    return (accumulate ? 3.0 : 2.0) * sizeof(T) * static_cast<double>(rows * shape.width);
  }
};

/// d_gate: sums of d_y * f over a sample's rows. One row of the launch is one ColumnBlock.
template <class T>
struct GateGradient {
  using Element = T;
  const T *d_y, *f;
  T* d_gate;
  GatedShape shape;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t block_row) const {
    const ColumnBlock block(block_row, shape.width);
    const int64_t first = block.sample * shape.rows * shape.width + block.first;
    T* out = d_gate + block.sample * shape.width + block.first;
    team.template columns<T, 1>(
        shape.rows, block.count,
        [&](int64_t r, int64_t i) -> std::array<T, 1> {
          const int64_t at = first + r * shape.width + i;
          return {d_y[at] * f[at]};
        },
        [&](int64_t i, const std::array<T, 1>& total) { out[i] = accumulate ? out[i] + total[0] : total[0]; });
  }
  double bytes(int64_t rows) const {
    return 2.0 * sizeof(T) * static_cast<double>(rows / ColumnBlock::blocks(shape.width) * shape.rows * shape.width);
  }
};

/// d_x where several answers went with one row: sums of d_y over them. One row of the launch is one row of x.
template <class T>
struct AnswersSum {
  using Element = T;
  const T* d_y;
  T* d_x;
  GatedShape shape;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t width = shape.width, sample = row / shape.x_rows, r = row % shape.x_rows;
    const T* d = d_y + (sample * shape.rows + r) * width;
    T* out = d_x + row * width;
    team.template columns<T, 1>(
        shape.rows / shape.x_rows, width,
        [&](int64_t l, int64_t i) -> std::array<T, 1> { return {d[l * shape.x_rows * width + i]}; },
        [&](int64_t i, const std::array<T, 1>& total) { out[i] = accumulate ? out[i] + total[0] : total[0]; });
  }
  double bytes(int64_t rows) const {
    const auto answers = static_cast<double>(shape.rows / shape.x_rows);
    return (answers + (accumulate ? 2.0 : 1.0)) * sizeof(T) * static_cast<double>(rows * shape.width);
  }
};

/// y = u + gelu(g) for the last `kept` of each sample's `tokens` rows.
template <class T>
struct GeluTailForward {
  using Element = T;
  const T *u, *g;  // [samples, tokens, width]
  T* y;            // [samples, kept, width]
  int64_t width, tokens, kept;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t from = ((row / kept + 1) * tokens - kept + row % kept) * width;
    const T *in = u + from, *term = g + from;
    T* out = y + row * width;
    team.each(width, [&](int64_t i) { out[i] = in[i] + Gelu::value(term[i]); });
  }
  double bytes(int64_t rows) const { return 3.0 * sizeof(T) * static_cast<double>(rows * width); }
};

/// d_g. One row of the launch is one row of g; rows in front of the last `kept` get a gradient of zero. With g null:
/// d_u.
template <class T>
struct GeluTailBackward {
  using Element = T;
  const T *d_y, *g;
  T* d_x;
  int64_t width, tokens, kept;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t t = row % tokens - (tokens - kept);
    T* out = d_x + row * width;
    if (t < 0) {
      if (!accumulate) team.each(width, [&](int64_t i) { out[i] = 0; });
      return;
    }
    const T* d = d_y + (row / tokens * kept + t) * width;
    if (g) {
      const T* in = g + row * width;
      write_each(team, width, out, accumulate, [&](int64_t i) { return d[i] * Gelu::derivative(in[i]); });
    } else {
      write_each(team, width, out, accumulate, [&](int64_t i) { return d[i]; });
    }
  }
  double bytes(int64_t rows) const { return 3.0 * sizeof(T) * static_cast<double>(rows * width); }
};

}  // namespace bev
