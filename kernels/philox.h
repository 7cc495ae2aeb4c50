// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, section 3.3). A number is a function
// of a key (the seed) and a counter (what for, which step, which sample, which element): no state, the same on CPU and
// GPU and for any number of replicas. Branch-free 32-bit arithmetic, so that compilers vectorise loops over counters.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"

namespace bev {

struct Random4 {
  uint32_t word[4];
};

BEV_HD inline Random4 philox4x32(uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  constexpr uint32_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u, weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  BEV_UNROLL
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = static_cast<uint64_t>(multiplier0) * c0,
                   product1 = static_cast<uint64_t>(multiplier1) * c2;
    const uint32_t high0 = static_cast<uint32_t>(product0 >> 32), high1 = static_cast<uint32_t>(product1 >> 32);
    c0 = high1 ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(product1);
    c2 = high0 ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(product0);
    k0 += weyl0;
    k1 += weyl1;
  }
  return {{c0, c1, c2, c3}};
}

/// In [0, 1), from 32 bits.
template <class T>
BEV_HD T uniform(uint32_t bits) {
  if constexpr (sizeof(T) == 4)
    return static_cast<T>(bits >> 8) * T(1.0 / 16777216.0);  // 24 bits: never rounds up to 1
  return static_cast<T>(bits) * T(1.0 / 4294967296.0);
}

/// A standard normal number from two words (Box and Muller 1958); computed in double so that CPU and GPU agree to
/// rounding.
BEV_HD inline double normal(uint32_t a, uint32_t b) {
  const double radius = std::sqrt(-2 * std::log((static_cast<double>(a) + 1) / 4294967296.0));  // never log(0)
  return radius * std::cos(6.283185307179586476925 * static_cast<double>(b) / 4294967296.0);
}

/// The element-th normal number of `sample` for `place`; two words of a Philox block each.
BEV_HD inline double normal_at(uint64_t seed, uint32_t sample, uint32_t place, uint32_t step, int64_t element) {
  const Random4 bits = philox4x32(seed, static_cast<uint32_t>(element / 2), sample, place, step);
  const int64_t first = 2 * (element % 2);
  return normal(bits.word[first], bits.word[first + 1]);
}

}  // namespace bev
