// The middle of attention over many keys: from scores to weights. Mask, softmax, several dropout masks over the one
// softmax, and their row sums in one kernel; the backward kernel sums over the masks and passes through the softmax
// once.
//     P = softmax(S + mask),   P^l = P * M^l,   r^l = sum over keys of P^l,   l = 0 .. masks - 1
//     e = sum_l P^l * (dP^l + dr^l),   dS = e - P (sum over keys of e)
// The backward needs no M^l: dS = P * (dP - sum(P * dP)) with dP = sum_l M^l * dP^l, and P * M^l is P^l (softmax:
// Bridle 1990; dropout: Srivastava et al. 2014).
//
// Rows of keys are `row` elements apart, at least the number of keys, so that rows start aligned; what lies behind the
// keys is zero in P and P^l. One row of a launch is one query of one head of one sample.
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/annotate.h"
#include "kernels/dropout.h"
#include "kernels/math.h"

namespace bev {

struct ManyKeyShape {
  int64_t heads, queries, keys, row, masks;

  /// Where, in a tensor [samples, masks, queries, heads], the launch's row (sample, query, head) is for mask 0.
  BEV_HD int64_t first(int64_t launch_row) const {
    const int64_t rows = queries * heads;
    return launch_row / rows * masks * rows + launch_row % rows;
  }
  /// From one mask to the next.
  BEV_HD int64_t stride() const { return queries * heads; }
};

template <class T>
struct ManyKeySoftmax {
  using Element = T;
  T* probabilities;      // [samples, queries, heads, row], holds the scores before
  T* dropped;            // [samples, masks, queries, heads, row]; not written where nothing is dropped
  T* sums;               // [samples, masks, queries, heads], or null
  const uint8_t* valid;  // key k of sample b: valid[b * valid_stride + k]; or null
  int64_t valid_stride;
  ManyKeyShape shape;
  DropoutMask<T> dropout;  // of mask 0; mask l draws at its place + l * place_stride
  uint32_t place_stride;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t head = row % shape.heads, query = row / shape.heads % shape.queries,
                  sample = row / (shape.heads * shape.queries), keys = shape.keys;
    T* p = probabilities + row * shape.row;
    if (valid) {
      const uint8_t* may = valid + sample * valid_stride;
      team.each(keys, [&](int64_t k) { p[k] = may[k] ? p[k] : -std::numeric_limits<T>::infinity(); });
      team.sync();
    }
    const T largest = team.template max<T>(keys, [&](int64_t k) { return p[k]; });
    team.each(keys, [&](int64_t k) { p[k] = branch_free::exp(p[k] - largest); });
    team.sync();
    const T scale = 1 / team.template sum<T>(keys, [&](int64_t k) { return p[k]; });
    team.each(keys, [&](int64_t k) { p[k] *= scale; });
    team.each(shape.row - keys, [&](int64_t k) { p[keys + k] = 0; });
    if (!dropout.active()) return;
    team.sync();
    const int64_t groups = (keys + 3) / 4, first = (head * shape.queries + query) * groups;
    for (int64_t l = 0; l < shape.masks; ++l) {
      DropoutMask<T> mask = dropout;
      mask.place += static_cast<uint32_t>(l) * place_stride;
      const int64_t at = shape.first(row) + l * shape.stride();
      T* out = dropped + at * shape.row;
      team.each(groups, [&](int64_t g) {
        const auto four = mask.factors(sample, first + g);
        BEV_UNROLL
        for (int i = 0; i < 4; ++i) out[4 * g + i] = p[4 * g + i] * four.factor[i];
      });
      team.each(shape.row - 4 * groups, [&](int64_t k) { out[4 * groups + k] = 0; });
      if (!sums) continue;
      team.sync();
      const T total = team.template sum<T>(keys, [&](int64_t k) { return out[k]; });
      if (team.leader()) sums[at] = total;
    }
  }
  double bytes(int64_t rows) const {
    const double passes = dropout.active() ? 2.0 + static_cast<double>(shape.masks) : 2.0;
    return passes * sizeof(T) * static_cast<double>(rows * shape.row);
  }
};

template <class T>
struct ManyKeySoftmaxBackward {
  using Element = T;
  const T *probabilities, *dropped;  // the same memory where nothing is dropped
  const T* d_dropped;                // [samples, masks, queries, heads, row]
  const T* d_sums;                   // [samples, masks, queries, heads], or null
  T* d_scores;                       // [samples, queries, heads, row]; may be d_dropped where there is one mask
  ManyKeyShape shape;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const T* p = probabilities + row * shape.row;
    T* out = d_scores + row * shape.row;
    for (int64_t l = 0; l < shape.masks; ++l) {
      const int64_t at = shape.first(row) + l * shape.stride();
      const T *weight = dropped + at * shape.row, *d = d_dropped + at * shape.row;
      const T d_sum = d_sums ? d_sums[at] : T(0);
      if (l == 0) {
        team.each(shape.keys, [&](int64_t k) { out[k] = weight[k] * (d[k] + d_sum); });
      } else {
        team.each(shape.keys, [&](int64_t k) { out[k] += weight[k] * (d[k] + d_sum); });
      }
    }
    team.sync();
    const T total = team.template sum<T>(shape.keys, [&](int64_t k) { return out[k]; });
    team.each(shape.keys, [&](int64_t k) { out[k] -= p[k] * total; });
  }
  double bytes(int64_t rows) const {
    return (2.0 * static_cast<double>(shape.masks) + 2) * sizeof(T) * static_cast<double>(rows * shape.row);
  }
};

}  // namespace bev
