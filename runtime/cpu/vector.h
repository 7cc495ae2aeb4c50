// Vectors of the instruction set that the program is compiled for, in the compiler's own vector type, and the transpose
// of a square block of them. One source serves every instruction set.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace bev::cpu {

#if defined(__AVX512F__)
inline constexpr int64_t vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr int64_t vector_bytes = 32;
#else
inline constexpr int64_t vector_bytes = 16;
#endif

/// Elements in a vector, and in one of the 16-byte lanes inside which instructions shuffle most cheaply.
template <class T>
inline constexpr int64_t vector_size = vector_bytes / static_cast<int64_t>(sizeof(T));
template <class T>
inline constexpr int64_t lane_size = 16 / static_cast<int64_t>(sizeof(T));

template <class T>
struct VectorOf {
  using Type [[gnu::vector_size(vector_bytes)]] = T;
};
template <class T>
using Vector = typename VectorOf<T>::Type;

/// How a vector goes to memory. What is not read soon goes past the caches, which would first fetch what is
/// overwritten: to memory aligned to vector_bytes, and others see it after publish_past_caches().
enum class Store : uint8_t { cached, past_caches };

template <Store how, class T>
void store(T* out, const Vector<T>& vector) {
  if constexpr (how == Store::cached) {
    std::memcpy(out, &vector, vector_bytes);
    return;
  }
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(out), std::bit_cast<__m512i>(vector));
#elif defined(__AVX__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(out), std::bit_cast<__m256i>(vector));
#elif defined(__SSE2__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(out), std::bit_cast<__m128i>(vector));
#else
  std::memcpy(out, &vector, vector_bytes);
#endif
}
inline void publish_past_caches() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

namespace detail {

/// Chunks of `Chunk` elements by turns from a and b: in every lane those of its lower half, or of its upper.
template <class T, int64_t Chunk, bool Upper>
void interleave(const Vector<T>& a, const Vector<T>& b, Vector<T>& out) {
  [&]<size_t... J>(std::index_sequence<J...>) {
    constexpr auto source = [](int64_t j) {
      const int64_t inside = j % lane_size<T>, turn = inside / Chunk;
      const int64_t first = j - inside + (Upper ? lane_size<T> / 2 : 0) + turn / 2 * Chunk + inside % Chunk;
      return first + (turn % 2) * vector_size<T>;
    };
    out = __builtin_shufflevector(a, b, source(J)...);
  }
  (std::make_index_sequence<vector_size<T>>{});
}

/// The even, or the odd, lanes of a and then those of b.
template <class T, bool Odd>
void every_other_lane(const Vector<T>& a, const Vector<T>& b, Vector<T>& out) {
  [&]<size_t... J>(std::index_sequence<J...>) {
    constexpr auto source = [](int64_t j) { return (2 * (j / lane_size<T>)+Odd) * lane_size<T> + j % lane_size<T>; };
    out = __builtin_shufflevector(a, b, source(J)...);
  }
  (std::make_index_sequence<vector_size<T>>{});
}

}  // namespace detail

/// out[p * out_row + j] = element p of the vector that load(j, vector) fetches, for as many vectors as one has
/// elements. First every lane of lane_size rows becomes columns, then lanes change places.
template <class T, Store how = Store::cached, class Load>
void transpose_block(const Load& load, T* out, int64_t out_row) {
  constexpr int64_t n = vector_size<T>, q = lane_size<T>, lanes = n / q;
  Vector<T> rows[n], next[n];
#pragma GCC unroll 16
  for (int64_t i = 0; i < n; ++i) load(i, rows[i]);
#pragma GCC unroll 16
  for (int64_t i = 0; i < n; i += 2) {
    detail::interleave<T, 1, false>(rows[i], rows[i + 1], next[i]);
    detail::interleave<T, 1, true>(rows[i], rows[i + 1], next[i + 1]);
  }
  if constexpr (q == 4) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < n; i += 4) {
      detail::interleave<T, 2, false>(next[i], next[i + 2], rows[i]);
      detail::interleave<T, 2, true>(next[i], next[i + 2], rows[i + 1]);
      detail::interleave<T, 2, false>(next[i + 1], next[i + 3], rows[i + 2]);
      detail::interleave<T, 2, true>(next[i + 1], next[i + 3], rows[i + 3]);
    }
  } else {
#pragma GCC unroll 16
    for (int64_t i = 0; i < n; ++i) rows[i] = next[i];
  }
  // Lane l of rows[g q + c] now holds column l q + c of the g-th group of q rows.
#pragma GCC unroll 4
  for (int64_t moved = 1; moved < lanes; moved *= 2) {
#pragma GCC unroll 4
    for (int64_t c = 0; c < q; ++c) {
#pragma GCC unroll 4
      for (int64_t g = 0; g < lanes; g += 2) {
        const Vector<T>&a = rows[g * q + c], &b = rows[(g + 1) * q + c];
        detail::every_other_lane<T, false>(a, b, next[g / 2 * q + c]);
        detail::every_other_lane<T, true>(a, b, next[(lanes + g) / 2 * q + c]);
      }
    }
#pragma GCC unroll 16
    for (int64_t i = 0; i < n; ++i) rows[i] = next[i];
  }
#pragma GCC unroll 16
  for (int64_t i = 0; i < n; ++i) store<how, T>(out + i * out_row, rows[i]);
}

}  // namespace bev::cpu
