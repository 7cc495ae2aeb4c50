// Activations and dropout over any tensor, fused where they follow one another: y = dropout(f(x)), z + dropout(x), and
// the gradients. One row of a launch is a piece of a sample: `piece` consecutive elements, cut at groups of four, since
// dropout draws for four elements at once (kernels/dropout.h). Where nothing is dropped the tensor counts as one
// sample.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/annotate.h"
#include "kernels/dropout.h"
#include "kernels/math.h"

namespace bev {

// A function f: value(x) = f(x), and derivative(saved) = f'(x) from what the forward pass saved: x, for relu its
// output.
struct Identity {
  template <class T>
  static BEV_HD T value(T x) {
    return x;
  }
  template <class T>
  static BEV_HD T derivative(T) {
    return 1;
  }
};

struct Relu {
  template <class T>
  static BEV_HD T value(T x) {
    return x > 0 ? x : T(0);
  }
  template <class T>
  static BEV_HD T derivative(T y) {
    return y > 0 ? T(1) : T(0);
  }
};

struct Gelu {  // x Phi(x) (Hendrycks and Gimpel 2016), Phi the normal distribution function
  template <class T>
  static BEV_HD T value(T x) {
    return x * (T(0.5) + T(0.5) * branch_free::erf(x * T(0.70710678118654752440)));
  }
  template <class T>
  static BEV_HD T derivative(T x) {
    const T density = T(0.39894228040143267794) * branch_free::exp(T(-0.5) * x * x);
    return T(0.5) + T(0.5) * branch_free::erf(x * T(0.70710678118654752440)) + x * density;
  }
};

struct Silu {  // x sigmoid(x)
  template <class T>
  static BEV_HD T value(T x) {
    return x * branch_free::sigmoid(x);
  }
  template <class T>
  static BEV_HD T derivative(T x) {
    const T s = branch_free::sigmoid(x);
    return s * (1 + x * (1 - s));
  }
};

/// How a tensor is cut into rows of a launch.
struct Pieces {
  static constexpr int64_t piece = 1024;  // elements, a multiple of four
  int64_t per_sample, rows_per_sample;    // elements of a sample, rows of a sample

  Pieces(int64_t samples, int64_t elements)
      : per_sample(elements / samples), rows_per_sample((per_sample + piece - 1) / piece) {}
  int64_t rows(int64_t samples) const { return samples * rows_per_sample; }
  int64_t width() const { return per_sample < piece ? per_sample : piece; }
  int64_t elements(int64_t rows) const { return rows / rows_per_sample * per_sample; }
};

/// Calls f(i, factor) for all elements i of row `row`, with the dropout factor of each.
template <class T, class Team, class F>
BEV_HD void each_with_factor(Team team, int64_t row, const Pieces& pieces, const DropoutMask<T>& dropout, F f) {
  const int64_t sample = row / pieces.rows_per_sample, first = row % pieces.rows_per_sample * Pieces::piece;
  const int64_t left = pieces.per_sample - first, count = left < Pieces::piece ? left : Pieces::piece;
  const int64_t start = sample * pieces.per_sample + first;
  if (!dropout.active()) {
    team.each(count, [&](int64_t i) { f(start + i, T(1)); });
    return;
  }
  team.each(count / 4, [&](int64_t g) {
    const auto four = dropout.factors(sample, first / 4 + g);
    BEV_UNROLL
    for (int j = 0; j < 4; ++j) f(start + 4 * g + j, four.factor[j]);
  });
  team.each(count % 4, [&](int64_t j) {
    const int64_t i = count / 4 * 4 + j;
    f(start + i, dropout.factor(sample, first + i));
  });
}

/// y = dropout(f(x))
template <class T, class Function>
struct ActivationForward {
  using Element = T;
  const T* x;
  T* y;
  Pieces pieces;
  DropoutMask<T> dropout;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    each_with_factor(team, row, pieces, dropout, [&](int64_t i, T factor) { y[i] = Function::value(x[i]) * factor; });
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(pieces.elements(rows)); }
};

template <class T, class Function>
struct ActivationBackward {
  using Element = T;
  const T *d_y, *saved;  // `saved` is not read where f is the identity
  T* d_x;
  Pieces pieces;
  DropoutMask<T> dropout;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const auto d = [&](int64_t i, T factor) {
      if constexpr (std::is_same_v<Function, Identity>) return d_y[i] * factor;
      return d_y[i] * factor * Function::derivative(saved[i]);
    };
    // Two loops, since a choice inside of one would keep it from vectorising.
    if (accumulate) {
      each_with_factor(team, row, pieces, dropout, [&](int64_t i, T factor) { d_x[i] += d(i, factor); });
    } else {
      each_with_factor(team, row, pieces, dropout, [&](int64_t i, T factor) { d_x[i] = d(i, factor); });
    }
  }
  double bytes(int64_t rows) const {
    return (accumulate ? 4.0 : 3.0) * sizeof(T) * static_cast<double>(pieces.elements(rows));
  }
};

/// y = residual + dropout(x)
template <class T>
struct AddDropout {
  using Element = T;
  const T *residual, *x;
  T* y;
  Pieces pieces;
  DropoutMask<T> dropout;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    each_with_factor(team, row, pieces, dropout, [&](int64_t i, T factor) { y[i] = residual[i] + x[i] * factor; });
  }
  double bytes(int64_t rows) const { return 3.0 * sizeof(T) * static_cast<double>(pieces.elements(rows)); }
};

}  // namespace bev
