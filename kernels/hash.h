// A 64-bit hash of what tensors hold, bit for bit, cheap enough to compare replicas with while they train: the sum,
// modulo 2^64, of every element's bits mixed with its position (the finaliser of SplitMix64: Steele, Lea and Flood
// 2014, figure 16). Sums of integers do not depend on their order, so the hash is the same for any number of threads
// and on any device. -0 differs from 0, and NaNs differ by their bits.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/annotate.h"

namespace bev {

BEV_HD inline uint64_t mix_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// A stretch of a tensor.
struct HashChunk {
  const void* data = nullptr;
  int64_t first = 0;  // its first element's position in the tensor
  int64_t count = 0;
};

/// One row of the launch is one chunk.
template <class T>
struct HashChunks {
  using Element = T;
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  const HashChunk* chunks;
  uint64_t* hashes;  // [chunks]
  int64_t elements;  // of all chunks

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const HashChunk chunk = chunks[row];
    const T* data = static_cast<const T*>(chunk.data);
    const uint64_t hash = team.template sum<uint64_t>(chunk.count, [&](int64_t i) {
      const auto place = static_cast<uint64_t>(chunk.first + i + 1);
      return mix_bits(mix_bits(std::bit_cast<Bits>(data[i])) + place * 0x9E3779B97F4A7C15u);
    });
    if (team.leader()) hashes[row] = hash;
  }
  double bytes(int64_t) const { return static_cast<double>(elements) * sizeof(T); }
};

}  // namespace bev
