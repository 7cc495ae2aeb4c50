// By which a sum over replicas is found to be one without computing it twice: a weighted sum over a stretch of elements
// is linear, so that of the sums is the sum of those of the parts, but for rounding. Weights are a function of the
// element's place, of both signs and of sizes in [1, 2): gradients have plain sums that are zero by construction
// (whatever a norm or a softmax takes the mean out of), these they have not, and elements in wrong places show.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/hash.h"

namespace bev {

/// A stretch of a span.
struct SpanChunk {
  int64_t first = 0, count = 0;
};

/// The weight of element `place` of a span: a random sign and 52 random bits behind a leading one.
BEV_HD inline double sum_weight(int64_t place) {
  constexpr uint64_t one = 0x3FF0000000000000u, sign = uint64_t{1} << 63;
  const uint64_t bits = mix_bits(static_cast<uint64_t>(place + 1) * 0x9E3779B97F4A7C15u);
  return std::bit_cast<double>((bits & sign) | one | (bits & 0x000FFFFFFFFFFFFFu));
}

/// One row of the launch is one chunk.
template <class T>
struct WeightedSums {
  using Element = T;
  const SpanChunk* chunks;
  const T* values;
  double* sums;      // [chunks, 2]: of weighted elements, and of magnitudes, which bound the rounding
  int64_t elements;  // of all chunks

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const SpanChunk chunk = chunks[row];
    const T* x = values + chunk.first;
    const double weighted = team.template sum<double>(
        chunk.count, [&](int64_t i) { return sum_weight(chunk.first + i) * static_cast<double>(x[i]); });
    const double magnitudes =
        team.template sum<double>(chunk.count, [&](int64_t i) { return std::abs(static_cast<double>(x[i])); });
    if (!team.leader()) return;
    sums[2 * row] = weighted;
    sums[2 * row + 1] = magnitudes;
  }
  double bytes(int64_t) const { return static_cast<double>(elements) * sizeof(T); }
};

}  // namespace bev
