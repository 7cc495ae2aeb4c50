// Attention of one query over the cells of a BEV grid, when the scores are already there:
//     p = softmax(scores),   v = sum_s p_s token_s
// The softmax stands apart from the sum, since a grid of another size is resized between two of them. Tokens are read
// in the type they are stored in (bf16, float, double): they are the bulk of the bytes.
#pragma once

#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/convert.h"
#include "kernels/math.h"

namespace bev {

template <class T>
struct SoftmaxForward {
  using Element = T;
  const T* x;  // [rows, width]
  T* p;        // [rows, width]
  int64_t width;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T* in = x + row * width;
    T* out = p + row * width;
    const T largest = team.template max<T>(width, [&](int64_t i) { return in[i]; });
    team.each(width, [&](int64_t i) { out[i] = branch_free::exp(in[i] - largest); });
    team.sync();
    const T share = 1 / team.template sum<T>(width, [&](int64_t i) { return out[i]; });
    team.each(width, [&](int64_t i) { out[i] *= share; });
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(rows * width); }
};

/// d_x = p (d_p - sum p d_p); may be done in place.
template <class T>
struct SoftmaxBackward {
  using Element = T;
  const T *p, *d_p;
  T* d_x;
  int64_t width;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T *probability = p + row * width, *d = d_p + row * width;
    T* out = d_x + row * width;
    const T dot = team.template sum<T>(width, [&](int64_t i) { return probability[i] * d[i]; });
    team.sync();
    if (accumulate) {
      team.each(width, [&](int64_t i) { out[i] += probability[i] * (d[i] - dot); });
    } else {
      team.each(width, [&](int64_t i) { out[i] = probability[i] * (d[i] - dot); });
    }
  }
  double bytes(int64_t rows) const { return (accumulate ? 4.0 : 3.0) * sizeof(T) * static_cast<double>(rows * width); }
};

/// out = [sum_s p_s token_s; appended], one row of the launch a sample.
template <class T, class Token>
struct WeightedCells {
  using Element = T;
  const T* p;           // [samples, cells]
  const Token* tokens;  // [samples, cells, width]
  const T* appended;    // [samples, extra]
  T* out;               // [samples, width + extra]
  int64_t cells, width, extra;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t sample) const {
    constexpr int together = 8;  // cells a pass over the sum, which keeps the sum's own traffic small
    const T* weight = p + sample * cells;
    const Token* cell = tokens + sample * cells * width;
    T* sum = out + sample * (width + extra);
    team.each(width, [&](int64_t i) { sum[i] = 0; });
    int64_t s = 0;
    for (; s + together <= cells; s += together) add<together>(team, weight + s, cell + s * width, sum);
    for (; s < cells; ++s) add<1>(team, weight + s, cell + s * width, sum);
    team.each(extra, [&](int64_t i) { sum[width + i] = appended[sample * extra + i]; });
  }
  double bytes(int64_t samples) const { return 1.0 * sizeof(Token) * static_cast<double>(samples * cells * width); }

 private:
  template <int count, class Team>
  BEV_HD void add(Team team, const T* weight, const Token* cell, T* sum) const {
    team.each(width, [&](int64_t i) {
      T total = sum[i];
      BEV_UNROLL
      for (int j = 0; j < count; ++j) total += weight[j] * from_stored<T>(cell[j * width + i]);
      sum[i] = total;
    });
  }
};

/// d_p_s = d_v . token_s, and d_token_s = p_s d_v where `d_tokens` is not null. One row of the launch is one cell.
template <class T, class Token>
struct WeightedCellsBackward {
  using Element = T;
  const T *d_out, *p;   // [samples, width + extra], [samples, cells]
  const Token* tokens;  // [samples, cells, width]
  T *d_p, *d_tokens;    // [samples, cells], [samples, cells, width] or null
  int64_t cells, width, extra;
  bool accumulate_tokens;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T* d_v = d_out + row / cells * (width + extra);
    const Token* cell = tokens + row * width;
    const T dot = team.template sum<T>(width, [&](int64_t i) { return d_v[i] * from_stored<T>(cell[i]); });
    if (team.leader()) d_p[row] = dot;
    if (!d_tokens) return;
    const T weight = p[row];
    T* d_cell = d_tokens + row * width;
    if (accumulate_tokens) {
      team.each(width, [&](int64_t i) { d_cell[i] += weight * d_v[i]; });
    } else {
      team.each(width, [&](int64_t i) { d_cell[i] = weight * d_v[i]; });
    }
  }
  double bytes(int64_t rows) const {
    const double written = d_tokens ? (accumulate_tokens ? 2.0 : 1.0) * sizeof(T) : 0.0;
    return (sizeof(Token) + written) * static_cast<double>(rows * width);
  }
};

}  // namespace bev
