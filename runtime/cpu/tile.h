// A tile of a product: as many rows and columns of C as registers hold, from packed rows of A and a strip of B, in the
// compiler's own vector type: one source serves every instruction set. Each element is summed over the depth in order.
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

/// Where a tile finds its columns of B: in a packed strip,
template <class Factor>
struct PackedStrip {
  using Packed = typename Factor::Packed;
  const Packed* packed;

  /// The vectors of step `p`.
  template <int Vectors>
  void load(int64_t p, Vector<Packed> (&right)[Vectors]) const {
    using B = Blocking<Factor>;
    for (int v = 0; v < Vectors; ++v) std::memcpy(&right[v], packed + p * B::tile_columns + v * B::lanes, vector_bytes);
  }
};

/// or, `rows` rows of whole vectors, as they lie in the matrix. Packed they go to `keep`, if there is one, for the
/// tiles below: so packing costs two stores a step, and the matrix is called up while the tile computes.
template <class Factor>
struct StripAsItLies {
  using Packed = typename Factor::Packed;
  Operand<typename Factor::Number> matrix;
  int64_t rows;
  Packed* keep;

  /// Rows that are called into the second-level cache before their turn. Neither more, since rows a power of two apart
  /// share few of its lines; nor into the first, whose misses are few at a time: 128 bytes each from rows 4 KB apart
  /// came at 28 GB/s on two cores, at 12 into the first.
  static constexpr int64_t ahead = 48;

  template <int Vectors>
  void load(int64_t p, Vector<Packed> (&right)[Vectors]) const {
    using B = Blocking<Factor>;
    const int64_t row = p * Factor::numbers;
    if (row + ahead < rows) {
#pragma GCC unroll 2
      for (int i = 0; i < Factor::numbers; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < Vectors; ++v) __builtin_prefetch(matrix.at(row + ahead + i, v * B::lanes), 0, 2);
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) Factor::across(matrix.at(row, v * B::lanes), matrix.row, right[v]);
    if (!keep) return;
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) store<Store::cached>(keep + p * B::tile_columns + v * B::lanes, right[v]);
  }
};

/// sum += A B over the depth, which counts what is packed.
template <class Factor, class Strip, class Sum, int Rows, int Vectors>
[[gnu::always_inline]] inline void add_products(int64_t depth, const typename Factor::Packed* a, const Strip& b,
                                                Sum (&sum)[Rows][Vectors], Prefetcher& next) {
  using B = Blocking<Factor>;
  const Strip strip = b;
  Prefetcher ahead = next;
  for (int64_t p = 0; p < depth; ++p) {
    ahead.step();
    Vector<typename Factor::Packed> right[Vectors];
    strip.load(p, right);
    for (int i = 0; i < Rows; ++i) {
      for (int v = 0; v < Vectors; ++v) Factor::add_product(sum[i][v], a[i * B::a_row + p], right[v]);
    }
  }
  next = ahead;
}

/// Calls for a tile of C, which is written when its sums are complete.
template <int Rows, int Vectors, class T>
[[gnu::always_inline]] inline void call_up(const T* c, int64_t ldc) {
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Vectors; ++v) __builtin_prefetch(c + i * ldc + v * vector_size<T>, 1);
  }
}

/// What becomes of a vector of sums in C at `out`; `column` is that of its first element in the bias.
template <class T>
[[gnu::always_inline]] inline void write_finished(const Vector<T>& sum, int64_t column, const Finish<T>& finish,
                                                  T* out) {
  Vector<T> value = finish.alpha * sum, other;
  if (finish.accumulate) std::memcpy(&other, out, sizeof(other)), value += other;
  if (finish.bias) std::memcpy(&other, finish.bias + column, sizeof(other)), value += other;
  finish.past_caches ? store<Store::past_caches>(out, value) : store<Store::cached>(out, value);
}

/// C = finish(A B) for Rows rows of C and Vectors vectors of columns; `depth` counts what is packed.
template <class Factor, class Strip, int Rows, int Vectors>
void multiply_tile(int64_t depth, const typename Factor::Packed* a, const Strip& b, typename Factor::Number* c,
                   int64_t ldc, const Finish<typename Factor::Number>& finish, Prefetcher& next) {
  using B = Blocking<Factor>;
  using Sum = Vector<typename Factor::Number>;
  Sum sum[Rows][Vectors] = {};
  if (!finish.past_caches) call_up<Rows, Vectors>(c, ldc);
  add_products<Factor>(depth, a, b, sum, next);
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) write_finished(sum[i][v], v * B::lanes, finish, c + i * ldc + v * B::lanes);
  }
}

template <class Factor, class Strip>
using MultiplyTile = decltype(&multiply_tile<Factor, Strip, 1, 1>);

/// Of `rows` - 1: tiles as many vectors wide.
template <class Factor, class Strip, int Vectors>
inline constexpr auto tiles = []<size_t... R>(std::index_sequence<R...>) {
  return std::array<MultiplyTile<Factor, Strip>, sizeof...(R)>{multiply_tile<Factor, Strip, R + 1, Vectors>...};
}
(std::make_index_sequence<Blocking<Factor>::tile_rows>{});

/// A tile at the right edge, through a copy with room for whole vectors.
template <class Factor, class T = typename Factor::Number>
void multiply_edge_tile(MultiplyTile<Factor, PackedStrip<Factor>> multiply, int64_t rows, int64_t columns,
                        int64_t depth, const typename Factor::Packed* a, const PackedStrip<Factor>& b, T* c,
                        int64_t ldc, const Finish<T>& finish, Prefetcher& next) {
  using B = Blocking<Factor>;
  alignas(64) T copy[B::tile_rows * B::tile_columns] = {}, bias[B::tile_columns] = {};
  if (finish.accumulate) {
    for (int64_t i = 0; i < rows; ++i) std::copy_n(c + i * ldc, columns, copy + i * B::tile_columns);
  }
  if (finish.bias) std::copy_n(finish.bias, columns, bias);
  multiply(depth, a, b, copy, B::tile_columns, {finish.alpha, finish.accumulate, finish.bias ? bias : nullptr}, next);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(copy + i * B::tile_columns, columns, c + i * ldc);
}

}  // namespace detail

/// At most tile_columns columns of B: packed, or as they lie in `matrix`, and `packed` is memory to pack them in on the
/// way. Without scales those are whole vectors then.
template <class Factor>
struct Strip {
  typename Factor::Packed* packed;
  const Operand<typename Factor::Number>* matrix = nullptr;
};

namespace detail {

/// C[rows, columns] from a packed block of A and a strip of B; `rows` are cut into tiles of nearly equal height.
template <class Factor, class T = typename Factor::Number>
void multiply_strip(int64_t rows, int64_t columns, int64_t depth, const typename Factor::Packed* a,
                    const Strip<Factor>& b, T* c, int64_t ldc, const Finish<T>& finish, Prefetcher& next) {
  using B = Blocking<Factor>;
  using Packed = PackedStrip<Factor>;
  using AsItLies = StripAsItLies<Factor>;
  const bool narrow = columns <= B::lanes, whole = columns == (narrow ? B::lanes : B::tile_columns);
  const Packed packed{b.packed};
  const int64_t heights = divide_up(rows, B::tile_rows);
  for (int64_t h = 0; h < heights; ++h) {
    const int64_t first = rows * h / heights, height = rows * (h + 1) / heights - first;
    const auto* left = a + first * B::a_row;
    const auto index = static_cast<size_t>(height - 1);
    T* out = c + first * ldc;
    if (b.matrix && h == 0) {
      const AsItLies lying{*b.matrix, depth * Factor::numbers, heights > 1 ? b.packed : nullptr};
      tiles<Factor, AsItLies, 2>[index](depth, left, lying, out, ldc, finish, next);
      continue;
    }
    const auto multiply = narrow ? tiles<Factor, Packed, 1>[index] : tiles<Factor, Packed, 2>[index];
    if (whole) {
      multiply(depth, left, packed, out, ldc, finish, next);
    } else {
      multiply_edge_tile<Factor>(multiply, height, columns, depth, left, packed, out, ldc, finish, next);
    }
  }
}

}  // namespace detail

}  // namespace bev::cpu
