// Products by one thread, in blocks that fit the caches: what the plain loops of matmul and convolution are made of,
// and the fastest way for products with few rows (onednn/matmul.cpp has figures). Blocks of A and B are packed
// (packing.h) and multiplied in tiles that registers hold, in the compiler's own vector type: one source serves every
// instruction set. Each element is summed over the depth in order: bits depend on the depth alone, not on how rows and
// columns are shared out.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "runtime/cpu/packing.h"
#include "runtime/cpu/prefetcher.h"

namespace bev::cpu {

/// What becomes of a sum: out = alpha sum (+ out) (+ bias[column]).
template <class T>
struct Finish {
  T alpha = 1;
  bool accumulate = false;
  const T* bias = nullptr;
  bool past_caches = false;  // `out` is aligned to vectors, and not read soon
};

namespace detail {

/// C = finish(A B) for Rows rows of C and Vectors vectors of columns; `depth` counts what is packed.
template <class Factor, int Rows, int Vectors>
void multiply_tile(int64_t depth, const typename Factor::Packed* a, const typename Factor::Packed* b,
                   typename Factor::Number* c, int64_t ldc, const Finish<typename Factor::Number>& finish,
                   Prefetcher& next) {
  using B = Blocking<Factor>;
  using Sum = Vector<typename Factor::Number>;
  Sum sum[Rows][Vectors] = {};
  if (!finish.past_caches) {
    for (int i = 0; i < Rows; ++i) {
      for (int v = 0; v < Vectors; ++v) __builtin_prefetch(c + i * ldc + v * B::lanes, 1);
    }
  }
  Prefetcher ahead = next;
  for (int64_t p = 0; p < depth; ++p) {
    ahead.step();
    Vector<typename Factor::Packed> right[Vectors];
    for (int v = 0; v < Vectors; ++v) std::memcpy(&right[v], b + p * B::tile_columns + v * B::lanes, vector_bytes);
    for (int i = 0; i < Rows; ++i) {
      for (int v = 0; v < Vectors; ++v) Factor::add_product(sum[i][v], a[i * B::a_row + p], right[v]);
    }
  }
  next = ahead;
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      auto* out = c + i * ldc + v * B::lanes;
      Sum value = finish.alpha * sum[i][v], other;
      if (finish.accumulate) std::memcpy(&other, out, sizeof(other)), value += other;
      if (finish.bias) std::memcpy(&other, finish.bias + v * B::lanes, sizeof(other)), value += other;
      finish.past_caches ? store<Store::past_caches>(out, value) : store<Store::cached>(out, value);
    }
  }
}

template <class Factor>
using MultiplyTile = decltype(&multiply_tile<Factor, 1, 1>);

/// Of `rows` - 1 and `vectors` - 1.
template <class Factor>
inline constexpr auto tiles = []<size_t... R>(std::index_sequence<R...>) {
  return std::array<std::array<MultiplyTile<Factor>, 2>, sizeof...(R)>{
      std::array<MultiplyTile<Factor>, 2>{multiply_tile<Factor, R + 1, 1>, multiply_tile<Factor, R + 1, 2>}...};
}
(std::make_index_sequence<Blocking<Factor>::tile_rows>{});

/// A tile at the right edge, through a copy with room for whole vectors.
template <class Factor, class T = typename Factor::Number, class Packed = typename Factor::Packed>
void multiply_edge_tile(MultiplyTile<Factor> multiply, int64_t rows, int64_t columns, int64_t depth, const Packed* a,
                        const Packed* b, T* c, int64_t ldc, const Finish<T>& finish, Prefetcher& next) {
  using B = Blocking<Factor>;
  alignas(64) T copy[B::tile_rows * B::tile_columns] = {}, bias[B::tile_columns] = {};
  if (finish.accumulate) {
    for (int64_t i = 0; i < rows; ++i) std::copy_n(c + i * ldc, columns, copy + i * B::tile_columns);
  }
  if (finish.bias) std::copy_n(finish.bias, columns, bias);
  multiply(depth, a, b, copy, B::tile_columns, {finish.alpha, finish.accumulate, finish.bias ? bias : nullptr}, next);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(copy + i * B::tile_columns, columns, c + i * ldc);
}

/// C[rows, columns] from packed blocks, at most tile_columns wide; `rows` are cut into tiles of nearly equal height.
template <class Factor, class T = typename Factor::Number, class Packed = typename Factor::Packed>
void multiply_strip(int64_t rows, int64_t columns, int64_t depth, const Packed* a, const Packed* b, T* c, int64_t ldc,
                    const Finish<T>& finish, Prefetcher& next) {
  using B = Blocking<Factor>;
  const size_t vectors = columns > B::lanes ? 2 : 1;
  const bool whole = columns == static_cast<int64_t>(vectors) * B::lanes;
  const int64_t heights = divide_up(rows, B::tile_rows);
  for (int64_t h = 0; h < heights; ++h) {
    const int64_t first = rows * h / heights, height = rows * (h + 1) / heights - first;
    const MultiplyTile<Factor> multiply = tiles<Factor>[static_cast<size_t>(height - 1)][vectors - 1];
    if (whole) {
      multiply(depth, a + first * B::a_row, b, c + first * ldc, ldc, finish, next);
    } else {
      multiply_edge_tile<Factor>(multiply, height, columns, depth, a + first * B::a_row, b, c + first * ldc, ldc,
                                 finish, next);
    }
  }
}

}  // namespace detail

/// C[rows, columns] = finish(A[rows, depth] B[depth, columns]); rows of C are `ldc` elements apart. block(i, p, height,
/// deep) returns rows i .. i + height - 1 of columns p .. p + deep - 1 of A as packed by pack_a. strip(p, deep, j,
/// wide, steps, next) returns rows p .. p + deep - 1 of columns j .. j + wide - 1 of B as packed by pack_b, and may say
/// what to call up in so many steps meanwhile.
template <class Factor, class Block, class Strip, class T = typename Factor::Number>
void multiply_packed(int64_t rows, int64_t columns, int64_t depth, const Block& block, const Strip& strip, T* c,
                     int64_t ldc, const Finish<T>& finish) {
  using B = Blocking<Factor>;
  for (int64_t i = 0; i < rows; i += B::rows) {
    const int64_t height = std::min(B::rows, rows - i);
    for (int64_t p = 0; p == 0 || p < depth; p += B::depth) {
      const int64_t deep = std::min(B::depth, depth - p);
      const auto* left = block(i, p, height, deep);
      for (int64_t j = 0; j < columns; j += B::tile_columns) {
        const int64_t wide = std::min(B::tile_columns, columns - j);
        const Finish<T> part{finish.alpha, finish.accumulate || p > 0,
                             finish.bias && p == 0 ? finish.bias + j : nullptr, finish.past_caches};
        const int64_t steps = B::packed(deep) * divide_up(height, B::tile_rows);
        Prefetcher next;
        const auto* right = strip(p, deep, j, wide, steps, next);
        detail::multiply_strip<Factor>(height, wide, B::packed(deep), left, right, c + i * ldc + j, ldc, part, next);
      }
    }
  }
}

/// The same from A as it lies.
template <class Factor, class Strip, class T = typename Factor::Number>
void multiply_strips(int64_t rows, int64_t columns, int64_t depth, Operand<T> a, const Strip& strip, T* c, int64_t ldc,
                     const Finish<T>& finish) {
  using B = Blocking<Factor>;
  alignas(64) typename Factor::Packed left[B::rows * B::a_row];
  const auto block = [&](int64_t i, int64_t p, int64_t height, int64_t deep) {
    detail::pack_a<Factor>(height, deep, a.from(i, p), left);
    return left;
  };
  multiply_packed<Factor>(rows, columns, depth, block, strip, c, ldc, finish);
}

/// The first `rows` rows and `columns` columns of a matrix, in `steps` steps.
template <class T>
Prefetcher prefetch(Operand<T> in, int64_t rows, int64_t columns, int64_t steps) {
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  return in.column == 1 ? Prefetcher(in.data, rows, columns * size, in.row * size, steps)
                        : Prefetcher(in.data, columns, rows * size, in.column * size, steps);
}

/// The same from both as they lie.
template <class Factor, class T = typename Factor::Number>
void multiply(int64_t rows, int64_t columns, int64_t depth, Operand<T> a, Operand<T> b, T* c, int64_t ldc,
              const Finish<T>& finish) {
  using B = Blocking<Factor>;
  alignas(64) typename Factor::Packed right[B::packed_depth * B::tile_columns];
  const auto strip = [&](int64_t p, int64_t deep, int64_t j, int64_t wide, int64_t steps, Prefetcher& next) {
    detail::pack_b<Factor>(deep, wide, b.from(p, j), right);
    const bool end = j + wide == columns;  // then the next is the first of the next depth
    const int64_t q = end ? p + deep : p, below = std::min(B::depth, depth - q);
    const int64_t k = end ? 0 : j + wide, right_of = std::min(B::tile_columns, columns - k);
    if (below > 0) next = prefetch(b.from(q, k), below, right_of, steps);
    return right;
  };
  multiply_strips<Factor>(rows, columns, depth, a, strip, c, ldc, finish);
}

}  // namespace bev::cpu
