// Multi-head attention where both queries and keys are few (a handful of trajectory tokens over a handful of memory
// tokens): scores, mask, softmax, dropout and the weighted sum in one kernel, one head of one sample at a time (Vaswani
// et al. 2017, eq. 1).
//     P = softmax(q k^T scale + mask),   o = dropout(P) v
#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "kernels/annotate.h"
#include "kernels/dropout.h"
#include "kernels/math.h"

namespace bev {

/// Which keys a query may see. With `observed` = To > 0, query t sees keys 0, To + 1 and 1 .. min(t + 1, To), which is
/// what the policy's causal mask leaves of the memory; with 0, all.
struct CausalMask {
  int64_t observed = 0;
  BEV_HD bool sees(int64_t t, int64_t j) const {
    return observed == 0 || j == 0 || j == observed + 1 || j <= (t + 1 < observed ? t + 1 : observed);
  }
};

/// Where the rows of one operand are: element i of head `head`, token `t`, sample `b` is data[b * sample + t * token +
/// head * width + i].
template <class T>
struct HeadRows {
  T* data;
  int64_t sample, token;
  BEV_HD T* at(int64_t b, int64_t t, int64_t head, int64_t width) const {
    return data + b * sample + t * token + head * width;
  }
};

template <class T>
struct FewKeyShape {
  int64_t heads, width, queries, keys;
  T scale;
  CausalMask causal;
  DropoutMask<T> dropout;
};

/// One row of the launch: (sample, head, query).
template <class T>
struct FewKeyForward {
  using Element = T;
  HeadRows<const T> q, k, v;
  HeadRows<T> o;
  T *probabilities, *dropped;  // [samples, heads, queries, keys]; the same memory where nothing is dropped
  FewKeyShape<T> shape;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t t = row % shape.queries, head = row / shape.queries % shape.heads,
                  b = row / (shape.queries * shape.heads);
    const int64_t width = shape.width, keys = shape.keys;
    const T* query = q.at(b, t, head, width);
    T *p = probabilities + row * keys, *d = dropped + row * keys;
    for (int64_t j = 0; j < keys; ++j) {
      const T* key = k.at(b, j, head, width);
      const T score = team.template sum<T>(width, [&](int64_t i) { return query[i] * key[i]; }) * shape.scale;
      if (team.leader()) p[j] = shape.causal.sees(t, j) ? score : -std::numeric_limits<T>::infinity();
    }
    team.sync();
    const T largest = team.template max<T>(keys, [&](int64_t j) { return p[j]; });
    team.each(keys, [&](int64_t j) { p[j] = branch_free::exp(p[j] - largest); });
    team.sync();
    const T norm = 1 / team.template sum<T>(keys, [&](int64_t j) { return p[j]; });
    const int64_t groups = (keys + 3) / 4, first = (head * shape.queries + t) * groups;  // of the row's dropout
    team.each(groups, [&](int64_t g) {
      const int64_t count = keys - 4 * g < 4 ? keys - 4 * g : 4;
      for (int64_t j = 4 * g; j < 4 * g + count; ++j) p[j] *= norm;
      if (!shape.dropout.active()) return;
      const auto four = shape.dropout.factors(b, first + g);
      for (int64_t i = 0; i < count; ++i) d[4 * g + i] = p[4 * g + i] * four.factor[i];
    });
    team.sync();
    T* out = o.at(b, t, head, width);
    team.template columns<T, 1>(
        keys, width, [&](int64_t j, int64_t i) { return std::array<T, 1>{d[j] * v.at(b, j, head, width)[i]}; },
        [&](int64_t i, const std::array<T, 1>& sum) { out[i] = sum[0]; });
  }
  double bytes(int64_t rows) const {  // a sample's keys and values are read once for all its queries
    const auto queries = static_cast<double>(shape.queries), keys = static_cast<double>(shape.keys);
    const double probabilities_of_a_query = (shape.dropout.active() ? 2.0 : 1.0) * keys;
    return static_cast<double>(rows) * sizeof(T) *
           ((2.0 + 2.0 * keys / queries) * static_cast<double>(shape.width) + probabilities_of_a_query);
  }
};

/// One row of the launch: (sample, head), so that the gradients of keys and values are sums inside one team.
template <class T>
struct FewKeyBackward {
  using Element = T;
  HeadRows<const T> d_o, q, k, v;
  HeadRows<T> d_q, d_k, d_v;
  const T *probabilities, *dropped;
  T* d_scores;  // workspace [samples, heads, queries, keys]
  bool accumulate_q, accumulate_k, accumulate_v;
  FewKeyShape<T> shape;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t head = row % shape.heads, b = row / shape.heads;
    const int64_t width = shape.width, keys = shape.keys, queries = shape.queries;
    const T *p = probabilities + row * queries * keys, *dropped_p = dropped + row * queries * keys;
    T* d = d_scores + row * queries * keys;
    for (int64_t t = 0; t < queries; ++t) {
      const T* d_out = d_o.at(b, t, head, width);
      for (int64_t j = 0; j < keys; ++j) {
        const T* value = v.at(b, j, head, width);
        const T sum = team.template sum<T>(width, [&](int64_t i) { return d_out[i] * value[i]; });
        if (team.leader()) d[t * keys + j] = sum;
      }
    }
    team.sync();
    // The softmax's backward needs no mask: p * (mask * d) is the dropped p times d.
    for (int64_t t = 0; t < queries; ++t) {
      const T *pt = p + t * keys, *dropped_t = dropped_p + t * keys;
      T* dt = d + t * keys;
      const T dot = team.template sum<T>(keys, [&](int64_t j) { return dropped_t[j] * dt[j]; });
      team.each(keys, [&](int64_t j) { dt[j] = (dropped_t[j] * dt[j] - pt[j] * dot) * shape.scale; });
    }
    team.sync();
    for (int64_t t = 0; t < queries; ++t) {
      T* out = d_q.at(b, t, head, width);
      team.template columns<T, 1>(
          keys, width,
          [&](int64_t j, int64_t i) { return std::array<T, 1>{d[t * keys + j] * k.at(b, j, head, width)[i]}; },
          [&](int64_t i, const std::array<T, 1>& sum) { out[i] = accumulate_q ? out[i] + sum[0] : sum[0]; });
    }
    for (int64_t j = 0; j < keys; ++j) {
      T *out_k = d_k.at(b, j, head, width), *out_v = d_v.at(b, j, head, width);
      team.template columns<T, 2>(
          queries, width,
          [&](int64_t t, int64_t i) {
            return std::array<T, 2>{d[t * keys + j] * q.at(b, t, head, width)[i],
                                    dropped_p[t * keys + j] * d_o.at(b, t, head, width)[i]};
          },
          [&](int64_t i, const std::array<T, 2>& sums) {
            out_k[i] = accumulate_k ? out_k[i] + sums[0] : sums[0];
            out_v[i] = accumulate_v ? out_v[i] + sums[1] : sums[1];
          });
    }
  }
  double bytes(int64_t rows) const {
    const auto queries = static_cast<double>(shape.queries), keys = static_cast<double>(shape.keys);
    const double read_queries = 2.0, read_keys = 2.0;  // d_o and q; k and v
    const double written = (1.0 + accumulate_q) * queries + (2.0 + accumulate_k + accumulate_v) * keys;
    const double rows_of_width = read_queries * queries + read_keys * keys + written;
    return static_cast<double>(rows) * sizeof(T) *
           (rows_of_width * static_cast<double>(shape.width) + (shape.dropout.active() ? 2.0 : 1.0) * queries * keys);
  }
};

}  // namespace bev
