// The optimiser's kernels: AdamW (Loshchilov and Hutter 2019, algorithm 2) and the moving average of the weights in one
// pass over all parameters, which moves 36 bytes an element in float and nothing twice. Before it, in order: the sum of
// squares of all gradients in two stages (fixed order, double), and the decision what this step does with them.
//
// Parameters, gradients, moments and averages are spans of the same layout, cut into segments that never cross from one
// parameter into the next, so that whatever differs by parameter is constant in a segment. Moments and averages hold
// only what this replica moves, one segment's behind another's.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/step_state.h"

namespace bev {

struct Segment {
  int64_t begin = 0;  // element of the spans of weights and gradients
  int64_t state = 0;  // element of the moments and averages
  int64_t count = 0;
  double decay = 0;  // weight decay of this parameter
};

/// Stage one of the gradient's norm: a sum a segment. One row of the launch is one segment.
template <class T>
struct SegmentSquares {
  using Element = T;
  const Segment* segments;
  const T* gradients;
  double* sums;      // [segments]
  int64_t elements;  // of all segments

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T* g = gradients + segments[row].begin;
    const double sum = team.template sum<double>(
        segments[row].count, [&](int64_t i) { return static_cast<double>(g[i]) * static_cast<double>(g[i]); });
    if (team.leader()) sums[row] = sum;
  }
  double bytes(int64_t) const { return static_cast<double>(elements) * sizeof(T); }
};

/// Stage two: their total, into UpdateState::squared_norm. And the total of those of all replicas. One row.
template <class T>
struct TotalSquares {
  using Element = T;
  const double* sums;  // [count]
  UpdateState* update;
  int64_t count;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t) const {
    const double total = team.template sum<double>(count, [&](int64_t i) { return sums[i]; });
    if (team.leader()) update->squared_norm = total;
  }
  double bytes(int64_t) const { return static_cast<double>(count) * sizeof(double); }
};

/// Decides what the step does, from its loss and squared norm: whether it is skipped, by how much gradients are
/// clipped, the bias corrections, and the average's decay
///     clamp(1 - (1 + (n - update_after_step - 1) / inv_gamma)^(-power), min, max),  0 while that inner step is <= 0,
/// where n counts updates before this one. One element. `Element` is the type that the pass behind it computes in.
template <class T>
struct DecideUpdate {
  using Element = T;
  UpdateState* update;
  double max_norm;  // 0: no clipping
  double beta1, beta2;
  double ema_inv_gamma, ema_power, ema_min, ema_max;
  int64_t ema_update_after_step;

  BEV_HD void operator()(int64_t) const {
    UpdateState& u = *update;
    u.gradient_norm = std::sqrt(u.squared_norm);
    u.skip = std::isfinite(u.gradient_norm) && std::isfinite(u.loss) ? 0 : 1;
    if (u.skip) {
      u.skipped += 1;
      return;
    }
    const double clip = max_norm / (u.gradient_norm + 1e-6);
    u.clip = max_norm > 0 && clip < 1 ? clip : 1;
    const auto inner = static_cast<double>(u.updates - ema_update_after_step - 1);
    const double decay = 1 - std::pow(1 + inner / ema_inv_gamma, -ema_power);
    u.ema_decay = inner <= 0 ? 0 : decay < ema_min ? ema_min : decay > ema_max ? ema_max : decay;
    u.updates += 1;
    u.bias_correction1 = 1 - std::pow(beta1, static_cast<double>(u.updates));
    u.bias_correction2 = 1 - std::pow(beta2, static_cast<double>(u.updates));
  }
  double bytes(int64_t) const { return 2.0 * sizeof(UpdateState); }
};

/// m = b1 m + (1-b1) g,  v = b2 v + (1-b2) g^2,  w = w - (lr decay w + lr (m/c1) / (sqrt(v/c2) + eps)),
/// average = d average + (1-d) w.  One row of the launch is one segment.
template <class T>
struct AdamW {
  using Element = T;
  const Segment* segments;
  const StepState* step;
  const UpdateState* update;
  const T* gradients;
  T *weights, *first, *second, *averages;
  double beta1, beta2, epsilon;
  int64_t elements;  // of all segments

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    if (update->skip) return;
    const Segment segment = segments[row];
    const T* g = gradients + segment.begin;
    T *w = weights + segment.begin, *m = first + segment.state, *v = second + segment.state,
      *a = averages + segment.state;
    const double rate = step->learning_rate;
    const T clip = static_cast<T>(update->clip), b1 = static_cast<T>(beta1), b2 = static_cast<T>(beta2);
    const T rest1 = static_cast<T>(1 - beta1), rest2 = static_cast<T>(1 - beta2);
    const T decay = static_cast<T>(rate * segment.decay);
    const T scale = static_cast<T>(rate / update->bias_correction1);
    const T root = static_cast<T>(1 / std::sqrt(update->bias_correction2)), eps = static_cast<T>(epsilon);
    const T d = static_cast<T>(update->ema_decay), rest_d = static_cast<T>(1 - update->ema_decay);
    team.each(segment.count, [&](int64_t i) {
      const T gradient = g[i] * clip;
      const T m_new = b1 * m[i] + rest1 * gradient;
      const T v_new = b2 * v[i] + rest2 * gradient * gradient;
      const T w_new = w[i] - (decay * w[i] + scale * m_new / (std::sqrt(v_new) * root + eps));
      m[i] = m_new;
      v[i] = v_new;
      w[i] = w_new;
      a[i] = d * a[i] + rest_d * w_new;
    });
  }
  double bytes(int64_t) const { return 9.0 * static_cast<double>(elements) * sizeof(T); }
};

/// Running statistics move in the forward pass, before it is known whether the step is skipped. Restores them from the
/// copy if it is, else renews the copy. One row of the launch is one segment.
template <class T>
struct GuardBuffers {
  using Element = T;
  const Segment* segments;
  const UpdateState* update;
  T *values, *copies;
  int64_t elements;  // of all segments

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T* from = (update->skip ? copies : values) + segments[row].begin;
    T* to = (update->skip ? values : copies) + segments[row].begin;
    team.each(segments[row].count, [&](int64_t i) { to[i] = from[i]; });
  }
  double bytes(int64_t) const { return 2.0 * static_cast<double>(elements) * sizeof(T); }
};

}  // namespace bev
