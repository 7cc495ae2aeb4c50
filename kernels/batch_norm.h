// Batch normalisation over all rows of x [rows, channels] (Ioffe and Szegedy 2015, algorithm 1), in the layout that is
// fastest for convolutions (channels innermost), with what usually follows it in the same pass:
//     y = relu((x - mean) * scale + beta + residual),   scale = gamma / sqrt(variance + eps)
//
// Few channels make short rows. So several rows count as one row of `width` elements (a multiple of the channels), and
// whatever there is one of a channel is kept `width` long, repeated: the inner loops then run over `width` elements
// without a division. All such values of one normalisation lie in one table, see BatchNormTable.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/team.h"

namespace bev {

/// How a tensor is cut: `rows` rows of `width` elements, which are width / channels repetitions of the channels.
struct BatchNormLayout {
  int64_t rows, width, channels;
};

/// Values by column, `width` of each.
template <class T>
struct BatchNormTable {
  T *mean, *rstd, *scale, *beta;
};

/// A value near every channel's mean: the mean of 16 rows spread over the tensor, or `factor` times 16 of it. Sums of
/// squares are taken of differences from it, so that they do not lose the variance of a channel whose mean is large.
template <class T>
struct BatchNormPivot {
  using Element = T;
  const T* x;
  T* pivot;  // [width]
  BatchNormLayout layout;
  T factor;

  BEV_HD void operator()(int64_t i) const {
    constexpr int64_t samples = 16;
    const int64_t channel = i % layout.channels, rows = layout.rows * (layout.width / layout.channels);
    T sum = 0;
    for (int64_t s = 0; s < samples; ++s) sum += x[(2 * s + 1) * rows / (2 * samples) * layout.channels + channel];
    pivot[i] = sum * factor;
  }
  double bytes(int64_t n) const { return 17.0 * sizeof(T) * static_cast<double>(n); }
};

/// Sums of x - pivot and of its square, by column.
template <class T>
struct BatchNormSums {
  using Element = T;
  static constexpr int sums = 2;
  const T *x, *pivot;
  T* out;  // [2, width]
  int64_t width;

  BEV_HD std::array<T, 2> value(int64_t row, int64_t col) const {
    const T d = x[row * width + col] - pivot[col];
    return {d, d * d};
  }
  BEV_HD void finish(int64_t col, const std::array<T, 2>& total) const {
    out[col] = total[0];
    out[width + col] = total[1];
  }
  double bytes(int64_t elements) const { return 1.0 * sizeof(T) * static_cast<double>(elements); }
};

/// What the columns of one channel add up to.
template <class T>
BEV_HD inline double channel_total(const T* columns, const BatchNormLayout& layout, int64_t channel) {
  double total = 0;
  for (int64_t i = channel; i < layout.width; i += layout.channels) total += static_cast<double>(columns[i]);
  return total;
}

/// The table from the batch's sums over `count` values a channel, and running statistics moved towards them. One
/// element of the launch is one channel.
template <class T>
struct BatchNormStatistics {
  using Element = T;
  const T *sums, *pivot, *gamma, *beta;  // [2, width], [width], [channels] twice
  T *running_mean, *running_variance;    // [channels]
  BatchNormTable<T> table;
  BatchNormLayout layout;
  double count, eps, momentum;

  BEV_HD void operator()(int64_t c) const {
    const double offset = channel_total(sums, layout, c) / count;
    const double square = channel_total(sums + layout.width, layout, c) / count - offset * offset;
    const double mean = static_cast<double>(pivot[c]) + offset, variance = square > 0 ? square : 0;
    const double rstd = 1 / std::sqrt(variance + eps);
    for (int64_t i = c; i < layout.width; i += layout.channels) {
      table.mean[i] = static_cast<T>(mean);
      table.rstd[i] = static_cast<T>(rstd);
      table.scale[i] = static_cast<T>(static_cast<double>(gamma[c]) * rstd);
      table.beta[i] = beta[c];
    }
    // A step whose numbers are not finite is not taken: neither may it leave a trace here.
    if (!std::isfinite(mean) || !std::isfinite(square)) return;
    running_mean[c] = static_cast<T>((1 - momentum) * static_cast<double>(running_mean[c]) + momentum * mean);
    running_variance[c] = static_cast<T>((1 - momentum) * static_cast<double>(running_variance[c]) +
                                         momentum * variance * count / (count - 1));
  }
  double bytes(int64_t) const { return 6.0 * sizeof(T) * static_cast<double>(layout.width); }
};

/// The table from running statistics.
template <class T>
struct BatchNormFromRunning {
  using Element = T;
  const T *running_mean, *running_variance, *gamma, *beta;  // [channels]
  BatchNormTable<T> table;
  int64_t channels;
  T eps;

  BEV_HD void operator()(int64_t i) const {
    const int64_t c = i % channels;
    const T rstd = 1 / std::sqrt(running_variance[c] + eps);
    table.mean[i] = running_mean[c];
    table.rstd[i] = rstd;
    table.scale[i] = gamma[c] * rstd;
    table.beta[i] = beta[c];
  }
  double bytes(int64_t n) const { return 4.0 * sizeof(T) * static_cast<double>(n); }
};

/// What follows the normalisation.
enum class BatchNormTail : uint8_t { none, relu, add, add_relu };
constexpr bool adds(BatchNormTail tail) { return tail == BatchNormTail::add || tail == BatchNormTail::add_relu; }
constexpr bool has_relu(BatchNormTail tail) { return tail == BatchNormTail::relu || tail == BatchNormTail::add_relu; }

template <class T, BatchNormTail tail>
struct BatchNormApply {
  using Element = T;
  const T *x, *residual;  // [rows, width]; residual is read only where the tail adds it
  T* y;
  BatchNormTable<T> table;
  int64_t width;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t first = row * width;
    const T *in = x + first, *other = residual + first, *mean = table.mean, *scale = table.scale, *beta = table.beta;
    T* out = y + first;
    team.each(width, [=](int64_t i) {
      T z = (in[i] - mean[i]) * scale[i] + beta[i];
      if constexpr (adds(tail)) z += other[i];
      if constexpr (has_relu(tail)) z = z < 0 ? T(0) : z;  // lets what is not a number through
      out[i] = z;
    });
  }
  double bytes(int64_t rows) const { return (adds(tail) ? 3.0 : 2.0) * sizeof(T) * static_cast<double>(rows * width); }
};

/// The gradient that reaches the normalised value: that of y, where relu let it pass. Without a residual the sign is
/// found from x again, which saves reading y.
template <class T, BatchNormTail tail>
struct BatchNormGate {
  const T *d_y, *x, *y;  // y only where the tail is add_relu
  const T *mean, *scale, *beta;

  BEV_HD T operator()(int64_t i, int64_t col) const {
    const T d = d_y[i];  // read in any case, so that loops vectorise
    if constexpr (tail == BatchNormTail::relu) return (x[i] - mean[col]) * scale[col] + beta[col] > 0 ? d : T(0);
    if constexpr (tail == BatchNormTail::add_relu) return y[i] > 0 ? d : T(0);
    return d;
  }
};

/// Sums of g and of g (x - mean), by column.
template <class T, BatchNormTail tail>
struct BatchNormGradientSums {
  using Element = T;
  static constexpr int sums = 2;
  BatchNormGate<T, tail> gate;
  T* out;  // [2, width]
  int64_t width;

  BEV_HD std::array<T, 2> value(int64_t row, int64_t col) const {
    const int64_t i = row * width + col;
    const T g = gate(i, col);
    return {g, g * (gate.x[i] - gate.mean[col])};
  }
  BEV_HD void finish(int64_t col, const std::array<T, 2>& total) const {
    out[col] = total[0];
    out[width + col] = total[1];
  }
  double bytes(int64_t elements) const {
    return (tail == BatchNormTail::add_relu ? 3.0 : 2.0) * sizeof(T) * static_cast<double>(elements);
  }
};

/// d_gamma and d_beta from the sums of this replica's rows. One element of the launch is one channel.
template <class T>
struct BatchNormWeightGradient {
  using Element = T;
  const T *sums, *rstd;  // [2, width], [width]
  T *d_gamma, *d_beta;   // [channels]
  BatchNormLayout layout;
  bool accumulate_gamma, accumulate_beta;

  BEV_HD void operator()(int64_t c) const {
    const T gamma_sum = static_cast<T>(channel_total(sums + layout.width, layout, c)) * rstd[c];
    const T beta_sum = static_cast<T>(channel_total(sums, layout, c));
    d_gamma[c] = accumulate_gamma ? d_gamma[c] + gamma_sum : gamma_sum;
    d_beta[c] = accumulate_beta ? d_beta[c] + beta_sum : beta_sum;
  }
  double bytes(int64_t) const { return 2.0 * sizeof(T) * static_cast<double>(layout.width); }
};

/// How the batch's statistics pull at every value: d_x = scale g + constant + slope (x - mean), with
/// constant = -scale mean(g) and slope = -scale rstd^2 mean(g (x - mean)), means over `count` values a channel.
template <class T>
struct BatchNormPull {
  using Element = T;
  const T *sums, *rstd, *scale;  // [2, width], [width] twice
  T *constant, *slope;           // [width]
  BatchNormLayout layout;
  double count;

  BEV_HD void operator()(int64_t c) const {
    const double factor = -static_cast<double>(scale[c]) / count, inverse = static_cast<double>(rstd[c]);
    const double g = factor * channel_total(sums, layout, c);
    const double gx = factor * inverse * inverse * channel_total(sums + layout.width, layout, c);
    for (int64_t i = c; i < layout.width; i += layout.channels) {
      constant[i] = static_cast<T>(g);
      slope[i] = static_cast<T>(gx);
    }
  }
  double bytes(int64_t) const { return 4.0 * sizeof(T) * static_cast<double>(layout.width); }
};

/// Gradients of x and of the residual, either of which may be null. One of them may be d_y itself: where there are both
/// that of the residual, since the other needs it first.
template <class T, BatchNormTail tail>
struct BatchNormBackward {
  using Element = T;
  BatchNormGate<T, tail> gate;
  const T *constant, *slope;  // [width]
  T *d_x, *d_residual;
  int64_t width;
  bool accumulate_x, accumulate_residual;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t first = row * width;
    const BatchNormGate<T, tail> g = gate;
    const T *add = constant, *factor = slope;
    if (d_x) {
      write_each(team, width, d_x + first, accumulate_x, [=](int64_t i) {
        return g.scale[i] * g(first + i, i) + add[i] + factor[i] * (g.x[first + i] - g.mean[i]);
      });
    }
    if constexpr (adds(tail)) {
      if (d_residual)
        write_each(team, width, d_residual + first, accumulate_residual, [=](int64_t i) { return g(first + i, i); });
    }
  }
  double bytes(int64_t rows) const {
    const double gradients = (d_x ? 1.0 + accumulate_x : 0.0) + (d_residual ? 1.0 + accumulate_residual : 0.0);
    return (gradients + (tail == BatchNormTail::add_relu ? 3.0 : 2.0)) * sizeof(T) * static_cast<double>(rows * width);
  }
};

}  // namespace bev
