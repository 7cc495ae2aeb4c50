// Blocks of the factors of a product, packed for the tiles of block_product.h: A row by row, B in strips as wide as a
// tile, transposed where needed, and rounded on the way where factors are (factors.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "runtime/cpu/factors.h"
#include "runtime/cpu/vector.h"
#include "runtime/matmul.h"

namespace bev::cpu {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// A matrix by the distances, in elements, between neighbours in a column and in a row, one of which is 1: transposing
/// is exchanging them.
template <class T>
struct Operand {
  const T* data;
  int64_t row, column;

  const T* at(int64_t i, int64_t j) const { return data + i * row + j * column; }
  Operand from(int64_t i, int64_t j) const { return {at(i, j), row, column}; }
};

/// A and B of a product's shape, the first of a batch.
template <class T>
Operand<T> left_operand(const MatmulShape& s, const T* a) {
  return {a, s.transpose_a ? 1 : s.lda, s.transpose_a ? s.lda : 1};
}
template <class T>
Operand<T> right_operand(const MatmulShape& s, const T* b) {
  return {b, s.transpose_b ? 1 : s.ldb, s.transpose_b ? s.ldb : 1};
}

/// Sizes of register tiles and of packed blocks. The sums of a tile, two vectors of B and one element of A fill the
/// registers: 32 of them with AVX-512, 16 without.
template <class Factor>
struct Blocking {
  using Packed = typename Factor::Packed;
  static constexpr int64_t lanes = vector_size<Packed>;
  static constexpr int64_t tile_rows = vector_bytes == 64 ? 14 : 6;
  static constexpr int64_t tile_columns = 2 * lanes;
  static constexpr int64_t rows = vector_bytes == 64 ? 112 : 96;  // of packed blocks: a multiple of tile_rows and lanes
  /// How deep packed blocks are, in what is packed: a block of A (466 KB of floats) stays in a second-level cache of 1
  /// MB beside the strips of B that pass through it. Deep ones touch C seldom.
  static constexpr int64_t packed_depth = sizeof(Packed) == 4 ? 1024 : 256;
  static constexpr int64_t depth = packed_depth * Factor::numbers;  // in the matrices' numbers
  /// Distance of packed rows of A, a cache line more than the depth: rows of a tile lie in different sets of the cache.
  static constexpr int64_t a_row = packed_depth + 64 / static_cast<int64_t>(sizeof(Packed));

  static constexpr int64_t packed(int64_t numbers) { return divide_up(numbers, Factor::numbers); }
};

namespace detail {

/// Factor::along from `count` numbers, and zeros where a vector takes more.
template <class Factor>
void load_along(const typename Factor::Number* in, int64_t count, Vector<typename Factor::Packed>& out) {
  constexpr int64_t whole = Blocking<Factor>::lanes * Factor::numbers;
  if (count >= whole) return Factor::along(in, out);
  typename Factor::Number padded[whole] = {};
  std::copy_n(in, std::max<int64_t>(count, 0), padded);
  Factor::along(padded, out);
}

/// Factor::across from the upper left of `deep` rows of `wide` numbers, and zeros where a vector takes more.
template <class Factor>
void load_across(const typename Factor::Number* in, int64_t next, int64_t deep, int64_t wide,
                 Vector<typename Factor::Packed>& out) {
  constexpr int64_t lanes = Blocking<Factor>::lanes, numbers = Factor::numbers;
  if (deep >= numbers && wide >= lanes) return Factor::across(in, next, out);
  typename Factor::Number padded[numbers * lanes] = {};
  for (int64_t p = 0; p < std::min(deep, numbers); ++p) {
    std::copy_n(in + p * next, std::clamp<int64_t>(wide, 0, lanes), padded + p * lanes);
  }
  Factor::across(padded, lanes, out);
}

/// A[rows, depth] as packed[i * a_row + p], by whole vectors: there is room for them, and zeros where A has no more.
template <class Factor>
void pack_a(int64_t rows, int64_t depth, Operand<typename Factor::Number> a, typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  for (int64_t p = 0; p < depth; p += B::lanes * Factor::numbers) {
    typename Factor::Packed* out = packed + p / Factor::numbers;
    if (a.column == 1) {
      for (int64_t i = 0; i < rows; ++i) {
        Vector<typename Factor::Packed> vector;
        load_along<Factor>(a.at(i, p), depth - p, vector);
        std::memcpy(out + i * B::a_row, &vector, vector_bytes);
      }
      continue;
    }
    for (int64_t i = 0; i < rows; i += B::lanes) {
      const auto load = [&](int64_t row, auto& vector) {
        const int64_t first = p + row * Factor::numbers;
        load_across<Factor>(a.at(i, first), a.column, depth - first, rows - i, vector);
      };
      const auto load_whole = [&](int64_t row, auto& vector) {
        Factor::across(a.at(i, p + row * Factor::numbers), a.column, vector);
      };
      if (depth - p >= B::lanes * Factor::numbers && rows - i >= B::lanes) {
        transpose_block(load_whole, out + i * B::a_row, B::a_row);
      } else {
        transpose_block(load, out + i * B::a_row, B::a_row);
      }
    }
  }
}

/// B[depth, columns] as packed[p * tile_columns + j], zero for j from `columns` on; as many rows as whole vectors have
/// where B is transposed.
template <class Factor, Store how = Store::cached>
void pack_b(int64_t depth, int64_t columns, Operand<typename Factor::Number> b, typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  constexpr int64_t width = B::tile_columns;
  if (b.column == 1) {
    for (int64_t p = 0; p < depth; p += Factor::numbers) {
      for (int64_t j = 0; j < width; j += B::lanes) {
        Vector<typename Factor::Packed> vector;
        load_across<Factor>(b.at(p, j), b.row, depth - p, columns - j, vector);
        store<how, typename Factor::Packed>(packed + p / Factor::numbers * width + j, vector);
      }
    }
    return;
  }
  for (int64_t j = 0; j < width; j += B::lanes) {
    for (int64_t p = 0; p < depth; p += B::lanes * Factor::numbers) {
      const auto load = [&](int64_t column, auto& vector) {
        load_along<Factor>(b.at(p, j + column), j + column < columns ? depth - p : 0, vector);
      };
      const auto load_whole = [&](int64_t column, auto& vector) { Factor::along(b.at(p, j + column), vector); };
      typename Factor::Packed* out = packed + p / Factor::numbers * width + j;
      if (depth - p >= B::lanes * Factor::numbers && columns - j >= B::lanes) {
        transpose_block<typename Factor::Packed, how>(load_whole, out, width);
      } else {
        transpose_block<typename Factor::Packed, how>(load, out, width);
      }
    }
  }
}

}  // namespace detail
}  // namespace bev::cpu
