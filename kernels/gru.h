// One step of a gated recurrent unit (Cho et al. 2014; the reset gate acts behind the recurrent product, as in cuDNN),
// all that is not a matrix product:
//     r = sigmoid(i_r + h_r),  z = sigmoid(i_z + h_z),  n = tanh(i_n + r h_n),  h' = (1 - z) n + z h
// where i = W_ih x + b_ih and h_. = W_hh h + b_hh, each [.., 3 width] with the thirds r, z, n. One row of a launch is
// one sample. The gates overwrite i, and in the backward pass the gradients overwrite what was saved of the forward
// pass.
#pragma once

#include <cstdint>

#include "kernels/math.h"
#include "kernels/team.h"

namespace bev {

template <class T>
struct GruForward {
  using Element = T;
  T* gates;            // in: i, out: r, z, n; sample b at b * gates_stride
  const T* recurrent;  // h_.; sample b at b * recurrent_stride, which is 0 where h = 0 and this is b_hh
  const T* previous;   // h [samples, width]
  T *hidden, *y;       // h', twice: [samples, width], and where y is not null sample b at b * y_stride
  int64_t width, gates_stride, recurrent_stride, y_stride;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t sample) const {
    T *r = gates + sample * gates_stride, *z = r + width, *n = z + width;
    const T *h_r = recurrent + sample * recurrent_stride, *h_z = h_r + width, *h_n = h_z + width;
    const T* before = previous + sample * width;
    T* after = hidden + sample * width;
    team.each(width, [&](int64_t i) {
      const T reset = branch_free::sigmoid(r[i] + h_r[i]), update = branch_free::sigmoid(z[i] + h_z[i]);
      const T candidate = branch_free::tanh(n[i] + reset * h_n[i]);
      r[i] = reset;
      z[i] = update;
      n[i] = candidate;
      after[i] = (1 - update) * candidate + update * before[i];
    });
    if (!y) return;
    T* out = y + sample * y_stride;
    team.each(width, [&](int64_t i) { out[i] = after[i]; });
  }
  double bytes(int64_t samples) const { return 12.0 * sizeof(T) * static_cast<double>(samples * width); }
};

/// `carry` comes with the gradient of h' from later steps, and leaves with what of the gradient of h does not pass
/// through W_hh; the caller adds d_recurrent W_hh.
template <class T>
struct GruBackward {
  using Element = T;
  const T* d_y;                   // of h' from outside, sample b at b * y_stride; null: none
  T* carry;                       // [samples, width]
  T* gates;                       // in: r, z, n, out: gradient of i
  const T *recurrent, *previous;  // as in the forward pass
  T* d_recurrent;                 // gradient of h_. [samples, 3 width]; may be `recurrent` itself
  int64_t width, gates_stride, recurrent_stride, y_stride;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t sample) const {
    T *r = gates + sample * gates_stride, *z = r + width, *n = z + width;
    const T* h_n = recurrent + sample * recurrent_stride + 2 * width;
    const T* before = previous + sample * width;
    T *d_r = d_recurrent + sample * 3 * width, *d_z = d_r + width, *d_n = d_z + width, *d_h = carry + sample * width;
    if (d_y) {
      const T* d = d_y + sample * y_stride;
      team.each(width, [&](int64_t i) { d_h[i] += d[i]; });
    }
    team.each(width, [&](int64_t i) {
      const T d = d_h[i], reset = r[i], update = z[i], candidate = n[i];
      const T candidate_d = d * (1 - update) * (1 - candidate * candidate);
      const T update_d = d * (before[i] - candidate) * update * (1 - update);
      const T reset_d = candidate_d * h_n[i] * reset * (1 - reset);
      r[i] = d_r[i] = reset_d;
      z[i] = d_z[i] = update_d;
      n[i] = candidate_d;
      d_n[i] = candidate_d * reset;
      d_h[i] = d * update;
    });
  }
  double bytes(int64_t samples) const { return 14.0 * sizeof(T) * static_cast<double>(samples * width); }
};

}  // namespace bev
