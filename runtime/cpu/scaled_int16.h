// Factors of float products as whole numbers of 16 bits with a scale for every 128 neighbours in the depth (block
// floating point): processors with AVX-512 VNNI multiply twice as many of these as floats, and what they lose is less
// than rounding to TF32 loses.
//
// With s = largest / |a| for the norm |a| of a segment, q = round(s a). No q exceeds the norm of its segment's, so it
// fits, and by Cauchy and Schwarz neither does a sum of products of two segments leave 32 bits, whatever their order.
// Each number is off by at most 2^-16 |a|, at random 2^-16.8 |a|. Against the same products with factors rounded to TF32,
// relative to the norms, it was 0.36 to 0.54 times the error (tests/runtime/matmul_test.cpp, where 0.7 is expected).
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "runtime/cpu/vector.h"

#ifdef __AVX512VNNI__
#include <immintrin.h>
#endif

namespace bev::cpu {

/// In a pair the neighbour further down the depth is the upper half.
struct ScaledInt16 {
  using Number = float;
  using Packed = uint32_t;
  static constexpr int64_t numbers = 2;
  static constexpr int64_t segment = 128;
  /// The norm of a segment in whole numbers, but for their rounding: (largest + sqrt(128) / 2)^2 is half of 2^31.
  static constexpr float largest = 32760;
#ifdef __AVX512VNNI__
  static constexpr bool faster = true;
#else
  static constexpr bool faster = false;
#endif

  /// sum += a b of both halves.
  static void add_product(Vector<int32_t>& sum, uint32_t a, const Vector<uint32_t>& b) {
#ifdef __AVX512VNNI__
    sum = std::bit_cast<Vector<int32_t>>(_mm512_dpwssd_epi32(
        std::bit_cast<__m512i>(sum), _mm512_set1_epi32(static_cast<int>(a)), std::bit_cast<__m512i>(b)));
#else
    const auto right = std::bit_cast<Vector<int32_t>>(b);
    sum += static_cast<int16_t>(a) * (right << 16 >> 16) + (static_cast<int32_t>(a) >> 16) * (right >> 16);
#endif
  }

  /// A vector from numbers that follow each other in the depth.
  static void along(const float* in, float multiplier, Vector<uint32_t>& out) {
    constexpr int64_t lanes = vector_size<float>;
    Vector<uint32_t> first, second;
    quantise(in, multiplier, first);
    quantise(in + lanes, multiplier, second);
#ifdef __AVX512VNNI__
    alignas(64) static constexpr auto lower_halves = [] {
      std::array<uint16_t, 2 * lanes> order = {};
      for (uint16_t j = 0; j < 2 * lanes; ++j) order[j] = static_cast<uint16_t>(2 * j);
      return order;
    }();
    out = std::bit_cast<Vector<uint32_t>>(_mm512_permutex2var_epi16(
        std::bit_cast<__m512i>(first), _mm512_load_si512(lower_halves.data()), std::bit_cast<__m512i>(second)));
#else
    const auto number = [&](int64_t j) { return j < lanes ? first[j] : second[j - lanes]; };
    for (int64_t j = 0; j < lanes; ++j) out[j] = (number(2 * j) & 0xffffu) | number(2 * j + 1) << 16;
#endif
  }

  /// A vector from two rows, `next` elements apart, that follow each other in the depth.
  static void across(const float* in, int64_t next, const Vector<float>& multipliers, Vector<uint32_t>& out) {
    Vector<uint32_t> low, high;
    quantise(in, multipliers, low);
    quantise(in + next, multipliers, high);
    out = (low & 0xffffu) | high << 16;
  }

 private:
  /// The nearest whole numbers, of two the even one, in the lower halves: floats from 2^23 on are whole, and their last
  /// bits count them. `multiplier` is a number or a vector of them.
  template <class Multiplier>
  static void quantise(const float* in, const Multiplier& multiplier, Vector<uint32_t>& out) {
    Vector<float> x;
    std::memcpy(&x, in, vector_bytes);
    out = std::bit_cast<Vector<uint32_t>>(x * multiplier + 0x3p22f);
  }
};

}  // namespace bev::cpu
