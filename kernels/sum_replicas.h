// The arithmetic of collectives among replicas whose memory one device can reach: sums of several spans, in their
// order, written to several spans. With one input it copies, which is all that a gather or a broadcast needs.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/annotate.h"
#include "kernels/team.h"

namespace bev {

inline constexpr int replicas_at_most = 16;  // of a group of threads

/// out_r[i] = in_0[i] + in_1[i] + ..., in this order, for every r. Inputs may be outputs: element i depends on elements
/// i alone. A row is `width` consecutive elements, so that they are summed in registers and in the nearest cache.
template <class T>
struct SumReplicas {
  using Element = float;  // for the launch: doubles, too, are summed on a GPU (losses, norms)
  static constexpr int width = 256;
  const T* in[replicas_at_most];
  T* out[replicas_at_most];
  int ins, outs;
  int64_t n;

  static int64_t rows(int64_t n) { return (n + width - 1) / width; }

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t first = row * width, left = n - first, count = left < width ? left : width;
    if constexpr (std::is_same_v<Team, CpuTeam>) {
      T sum[width];
      const T* x = in[0] + first;
      team.each(count, [&](int64_t i) { sum[i] = x[i]; });
      for (int r = 1; r < ins; ++r) {
        x = in[r] + first;
        team.each(count, [&](int64_t i) { sum[i] += x[i]; });
      }
      for (int r = 0; r < outs; ++r) {
        T* y = out[r] + first;
        team.each(count, [&](int64_t i) { y[i] = sum[i]; });
      }
    } else {  // an array would lie in local memory, of which a GPU then sets half a gigabyte aside
      team.each(count, [&](int64_t i) {
        T sum = in[0][first + i];
        for (int r = 1; r < ins; ++r) sum += in[r][first + i];
        for (int r = 0; r < outs; ++r) out[r][first + i] = sum;
      });
    }
  }
  double bytes(int64_t rows) const { return static_cast<double>(rows) * width * sizeof(T) * (ins + outs); }
};

/// x[i] /= divisor: makes a mean of a sum over replicas. Exact where all replicas held the same.
template <class T>
struct DivideBy {
  using Element = T;
  T* x;
  T divisor;

  BEV_HD void operator()(int64_t i) const { x[i] /= divisor; }
  double bytes(int64_t n) const { return 2.0 * sizeof(T) * static_cast<double>(n); }
};

}  // namespace bev
