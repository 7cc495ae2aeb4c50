// Products by one thread, in the element type and in blocks that fit the caches: what the plain loops of matmul and
// convolution are made of, and the fastest way for products with few rows (onednn/matmul.cpp has figures). Blocks of A
// and B are packed on the stack, transposed where needed, and multiplied in tiles that registers hold; all in the
// compiler's own vector type, so one source serves every instruction set. Each element is summed over the depth in
// order: bits depend on the depth alone, not on how rows and columns are shared out.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "runtime/cpu/vector.h"

namespace bev::cpu {

/// A matrix by the distances, in elements, between neighbours in a column and in a row, one of which is 1: transposing
/// is exchanging them.
template <class T>
struct Operand {
  const T* data;
  int64_t row, column;
};

/// What becomes of a sum: out = alpha sum (+ out) (+ bias[column]).
template <class T>
struct Finish {
  T alpha = 1;
  bool accumulate = false;
  const T* bias = nullptr;
};

/// Sizes of register tiles and of packed blocks. The sums of a tile, two vectors of B and one element of A fill the
/// registers: 32 of them with AVX-512, 16 without.
template <class T>
struct Blocking {
  static constexpr int64_t lanes = vector_size<T>;
  static constexpr int64_t tile_rows = vector_bytes == 64 ? 14 : 6;
  static constexpr int64_t tile_columns = 2 * lanes;
  static constexpr int64_t rows = 112, depth = 256;  // of packed blocks: multiples of the lanes
  /// Distance of packed rows of A, a cache line more than the depth: rows of a tile lie in different sets of the cache.
  static constexpr int64_t a_row = depth + 64 / static_cast<int64_t>(sizeof(T));
};

namespace detail {

/// out[j * out_row + p] = in[p * in_row + j] for p below `depth` and j below `count`, by whole blocks: `out` has room
/// for both rounded up to a multiple of the lanes, and holds zeros there.
template <class T>
void transpose(int64_t depth, int64_t count, const T* in, int64_t in_row, T* out, int64_t out_row) {
  constexpr int64_t lanes = Blocking<T>::lanes;
  for (int64_t p = 0; p < depth; p += lanes) {
    for (int64_t j = 0; j < count; j += lanes) {
      const int64_t deep = std::min(lanes, depth - p), wide = std::min(lanes, count - j);
      const T* from = in + p * in_row + j;
      T* to = out + j * out_row + p;
      if (deep == lanes && wide == lanes) {
        transpose_block<T>(from, in_row, to, out_row);
        continue;
      }
      alignas(64) T edge[lanes * lanes] = {};
      for (int64_t i = 0; i < deep; ++i) std::copy_n(from + i * in_row, wide, edge + i * lanes);
      transpose_block<T>(edge, lanes, to, out_row);
    }
  }
}

/// A[rows, depth] as packed[i * a_row + p].
template <class T>
void pack_a(int64_t rows, int64_t depth, Operand<T> a, T* packed) {
  constexpr int64_t row = Blocking<T>::a_row;
  if (a.column == 1) {
    for (int64_t i = 0; i < rows; ++i) std::copy_n(a.data + i * a.row, depth, packed + i * row);
  } else {
    transpose<T>(depth, rows, a.data, a.column, packed, row);
  }
}

/// B[depth, columns] as packed[p * tile_columns + j], zero for j from `columns` on. Meanwhile the strip on its right is
/// called into the second-level cache: it lies in pieces too short for the hardware to foresee. (Figures: 80 rows by a
/// weight of 16 MiB, 80 GFLOP/s without, 89 with.)
template <class T>
void pack_b(int64_t depth, int64_t columns, Operand<T> b, T* packed) {
  constexpr int64_t width = Blocking<T>::tile_columns, line = 64 / static_cast<int64_t>(sizeof(T));
  if (columns < width) std::fill_n(packed, depth * width, T{0});
  if (b.column == 1) {
    for (int64_t p = 0; p < depth; ++p) {
      const T* in = b.data + p * b.row;
      for (int64_t j = 0; j < width; j += line) __builtin_prefetch(in + width + j, 0, 2);
      if (columns == width) {
        std::memcpy(packed + p * width, in, width * sizeof(T));
      } else {
        std::copy_n(in, columns, packed + p * width);
      }
    }
  } else {
    for (int64_t j = 0; j < columns; ++j) {
      const T* in = b.data + (j + width) * b.column;
      for (int64_t p = 0; p < depth; p += line) __builtin_prefetch(in + p, 0, 2);
    }
    transpose<T>(columns, depth, b.data, b.column, packed, width);
  }
}

template <class T, int Rows, int Vectors>
void multiply_tile(int64_t depth, const T* a, const T* b, T* c, int64_t ldc, const Finish<T>& finish) {
  using B = Blocking<T>;
  Vector<T> sum[Rows][Vectors] = {};
  for (int64_t p = 0; p < depth; ++p) {
    Vector<T> right[Vectors];
    for (int v = 0; v < Vectors; ++v) std::memcpy(&right[v], b + p * B::tile_columns + v * B::lanes, sizeof(right[v]));
    for (int i = 0; i < Rows; ++i) {
      for (int v = 0; v < Vectors; ++v) sum[i][v] += a[i * B::a_row + p] * right[v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      T* out = c + i * ldc + v * B::lanes;
      Vector<T> value = finish.alpha * sum[i][v], other;
      if (finish.accumulate) std::memcpy(&other, out, sizeof(other)), value += other;
      if (finish.bias) std::memcpy(&other, finish.bias + v * B::lanes, sizeof(other)), value += other;
      std::memcpy(out, &value, sizeof(value));
    }
  }
}

template <class T>
using MultiplyTile = void (*)(int64_t depth, const T* a, const T* b, T* c, int64_t ldc, const Finish<T>& finish);

/// Of `rows` - 1 and `vectors` - 1.
template <class T>
inline constexpr auto tiles = []<size_t... R>(std::index_sequence<R...>) {
  return std::array<std::array<MultiplyTile<T>, 2>, sizeof...(R)>{
      std::array<MultiplyTile<T>, 2>{multiply_tile<T, R + 1, 1>, multiply_tile<T, R + 1, 2>}...};
}
(std::make_index_sequence<Blocking<T>::tile_rows>{});

/// A tile at the right edge, through a copy with room for whole vectors.
template <class T>
void multiply_edge_tile(MultiplyTile<T> multiply, int64_t rows, int64_t columns, int64_t depth, const T* a, const T* b,
                        T* c, int64_t ldc, const Finish<T>& finish) {
  using B = Blocking<T>;
  alignas(64) T copy[B::tile_rows * B::tile_columns] = {}, bias[B::tile_columns] = {};
  if (finish.accumulate) {
    for (int64_t i = 0; i < rows; ++i) std::copy_n(c + i * ldc, columns, copy + i * B::tile_columns);
  }
  if (finish.bias) std::copy_n(finish.bias, columns, bias);
  multiply(depth, a, b, copy, B::tile_columns, {finish.alpha, finish.accumulate, finish.bias ? bias : nullptr});
  for (int64_t i = 0; i < rows; ++i) std::copy_n(copy + i * B::tile_columns, columns, c + i * ldc);
}

/// C[rows, columns] from packed blocks, at most tile_columns wide; `rows` are cut into tiles of nearly equal height.
template <class T>
void multiply_strip(int64_t rows, int64_t columns, int64_t depth, const T* a, const T* b, T* c, int64_t ldc,
                    const Finish<T>& finish) {
  using B = Blocking<T>;
  const size_t vectors = columns > B::lanes ? 2 : 1;
  const bool whole = columns == static_cast<int64_t>(vectors) * B::lanes;
  const int64_t heights = (rows + B::tile_rows - 1) / B::tile_rows;
  for (int64_t h = 0; h < heights; ++h) {
    const int64_t first = rows * h / heights, height = rows * (h + 1) / heights - first;
    const MultiplyTile<T> multiply = tiles<T>[static_cast<size_t>(height - 1)][vectors - 1];
    if (whole) {
      multiply(depth, a + first * B::a_row, b, c + first * ldc, ldc, finish);
    } else {
      multiply_edge_tile(multiply, height, columns, depth, a + first * B::a_row, b, c + first * ldc, ldc, finish);
    }
  }
}

}  // namespace detail

/// C[rows, columns] = finish(A[rows, depth] B[depth, columns]); rows of C are `ldc` elements apart. strip(p, deep, j,
/// wide) returns rows p .. p + deep - 1 of columns j .. j + wide - 1 of B as packed by pack_b.
template <class T, class Strip>
void multiply_strips(int64_t rows, int64_t columns, int64_t depth, Operand<T> a, const Strip& strip, T* c, int64_t ldc,
                     const Finish<T>& finish) {
  using B = Blocking<T>;
  alignas(64) T left[B::rows * B::a_row];
  for (int64_t i = 0; i < rows; i += B::rows) {
    const int64_t height = std::min(B::rows, rows - i);
    for (int64_t p = 0; p == 0 || p < depth; p += B::depth) {
      const int64_t deep = std::min(B::depth, depth - p);
      detail::pack_a<T>(height, deep, {a.data + i * a.row + p * a.column, a.row, a.column}, left);
      for (int64_t j = 0; j < columns; j += B::tile_columns) {
        const int64_t wide = std::min(B::tile_columns, columns - j);
        const Finish<T> part{finish.alpha, finish.accumulate || p > 0,
                             finish.bias && p == 0 ? finish.bias + j : nullptr};
        detail::multiply_strip(height, wide, deep, left, strip(p, deep, j, wide), c + i * ldc + j, ldc, part);
      }
    }
  }
}

/// The same from B as it lies.
template <class T>
void multiply(int64_t rows, int64_t columns, int64_t depth, Operand<T> a, Operand<T> b, T* c, int64_t ldc,
              const Finish<T>& finish) {
  alignas(64) T right[Blocking<T>::depth * Blocking<T>::tile_columns];
  const auto strip = [&](int64_t p, int64_t deep, int64_t j, int64_t wide) {
    detail::pack_b<T>(deep, wide, {b.data + p * b.row + j * b.column, b.row, b.column}, right);
    return right;
  };
  multiply_strips<T>(rows, columns, depth, a, strip, c, ldc, finish);
}

}  // namespace bev::cpu
