// How the factors of products are held in packed blocks, and multiplied there: as they are, or rounded to bf16, two
// neighbours in the depth to a pair; a third way is in scaled_int16.h. Sums are in the matrices' own type.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "runtime/cpu/vector.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace bev::cpu {

template <class T>
struct Exact {
  using Number = T;                      // of the matrices
  using Packed = T;                      // in packed blocks
  static constexpr int64_t numbers = 1;  // in one Packed, neighbours in the depth
  static constexpr int64_t segment = 0;  // numbers that share a scale, neighbours in the depth; 0: there are no scales

  /// sum += a b
  static void add_product(Vector<T>& sum, T a, const Vector<T>& b) { sum += a * b; }
  /// A vector from numbers that follow each other in the depth.
  static void along(const T* in, Vector<T>& out) { std::memcpy(&out, in, vector_bytes); }
  /// A vector from `numbers` rows, `next` elements apart, that follow each other in the depth.
  static void across(const T* in, int64_t, Vector<T>& out) { std::memcpy(&out, in, vector_bytes); }
};

/// Factors rounded to the nearest bf16 number, of two the even one; their products are exact in float. In a pair the
/// neighbour further down the depth is the upper half. Processors with AVX-512 BF16 multiply twice as many of these as
/// floats, and take numbers below 2^-126 for zero; elsewhere pairs are taken apart, to the same rounding.
struct Bf16 {
  using Number = float;
  using Packed = uint32_t;
  static constexpr int64_t numbers = 2;
  static constexpr int64_t segment = 0;
#ifdef __AVX512BF16__
  static constexpr bool faster = true;
#else
  static constexpr bool faster = false;
#endif

  /// sum += a b of the upper halves, and then of the lower ones.
  static void add_product(Vector<float>& sum, uint32_t a, const Vector<uint32_t>& b) {
#ifdef __AVX512BF16__
    const __m512i left = _mm512_set1_epi32(static_cast<int>(a));
    sum = _mm512_dpbf16_ps(sum, std::bit_cast<__m512bh>(left), std::bit_cast<__m512bh>(b));
#else
    constexpr uint32_t upper = 0xffff0000u;
    sum += std::bit_cast<float>(a & upper) * std::bit_cast<Vector<float>>(b & upper);
    sum += std::bit_cast<float>(a << 16) * std::bit_cast<Vector<float>>(b << 16);
#endif
  }

  static void along(const float* in, Vector<uint32_t>& out) {
    Vector<float> first, second;
    std::memcpy(&first, in, vector_bytes);
    std::memcpy(&second, in + vector_size<float>, vector_bytes);
#ifdef __AVX512BF16__
    out = std::bit_cast<Vector<uint32_t>>(_mm512_cvtne2ps_pbh(second, first));
#else
    Vector<uint32_t> rounded[2];
    round(first, rounded[0]);
    round(second, rounded[1]);
    constexpr int64_t lanes = vector_size<float>;
    for (int64_t j = 0; j < lanes; ++j) {
      const auto number = [&](int64_t i) { return rounded[i / lanes][i % lanes]; };
      out[j] = number(2 * j) >> 16 | (number(2 * j + 1) & 0xffff0000u);
    }
#endif
  }

  static void across(const float* in, int64_t next, Vector<uint32_t>& out) {
    Vector<float> low, high;
    std::memcpy(&low, in, vector_bytes);
    std::memcpy(&high, in + next, vector_bytes);
#ifdef __AVX512BF16__
    out = pairs_of_halves(std::bit_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
#else
    Vector<uint32_t> lower, upper;
    round(low, lower);
    round(high, upper);
    out = lower >> 16 | (upper & 0xffff0000u);
#endif
  }

 private:
#ifdef __AVX512BF16__
  /// Number j of the lower half beside number j of the upper half.
  static Vector<uint32_t> pairs_of_halves(__m512i halves) {
    alignas(64) static constexpr auto order = [] {
      std::array<uint16_t, 32> out = {};
      for (uint16_t j = 0; j < 16; ++j) out[2 * j] = j, out[2 * j + 1] = static_cast<uint16_t>(16 + j);
      return out;
    }();
    return std::bit_cast<Vector<uint32_t>>(_mm512_permutexvar_epi16(_mm512_load_si512(order.data()), halves));
  }
#else
  /// The bits of the nearest bf16 numbers in the upper halves; what is not a number stays that.
  static void round(const Vector<float>& x, Vector<uint32_t>& out) {
    const auto bits = std::bit_cast<Vector<uint32_t>>(x);
    out = x == x ? bits + 0x7fffu + (bits >> 16 & 1u) : bits | 0x400000u;
  }
#endif
};

}  // namespace bev::cpu
