// A strip of a product whose factors are whole numbers with scales (scaled_int16.h): segment by segment of the depth,
// each for all tiles, so that a segment of B is packed, used up and forgotten in the first-level cache.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "runtime/cpu/prefetcher.h"
#include "runtime/cpu/scaled_packing.h"
#include "runtime/cpu/tile.h"

namespace bev::cpu::detail {

/// What becomes of the sums of a tile over one segment: added to those `before`, if there are any, in rows of
/// tile_columns, they go to `out`, as they are or, after the last segment, finished.
template <class T>
struct SegmentEnd {
  const T* before;
  T* out;
  int64_t out_row;
  const Finish<T>* finish;
};

/// A B over a segment as packed, summed in whole numbers.
template <class Factor, int Rows, int Vectors>
void add_segment(int64_t depth, const typename Factor::Packed* a, const typename Factor::Packed* strip,
                 SegmentEnd<typename Factor::Number> end, Prefetcher& next) {
  using B = Blocking<Factor>;
  using Total = Vector<typename Factor::Number>;
  Vector<int32_t> sum[Rows][Vectors] = {};
  if (end.finish && !end.finish->past_caches) call_up<Rows, Vectors>(end.out, end.out_row);
  add_products<Factor>(depth, a, PackedStrip<Factor>{strip + B::tile_columns}, sum, next);
  Total of_b[Vectors];
  for (int v = 0; v < Vectors; ++v) std::memcpy(&of_b[v], strip + v * B::lanes, vector_bytes);
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
    const auto of_a = std::bit_cast<typename Factor::Number>(a[i * B::a_row + B::packed_segment]);
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      Total value = __builtin_convertvector(sum[i][v], Total) * (of_a * of_b[v]), before;
      if (end.before) {
        std::memcpy(&before, end.before + i * B::tile_columns + v * B::lanes, vector_bytes);
        value += before;
      }
      auto* out = end.out + i * end.out_row + v * B::lanes;
      end.finish ? write_finished(value, v * B::lanes, *end.finish, out) : store<Store::cached>(out, value);
    }
  }
}

template <class Factor>
using AddSegment = decltype(&add_segment<Factor, 1, 1>);

/// Of `rows` - 1: tiles as many vectors wide.
template <class Factor, int Vectors>
inline constexpr auto segment_tiles = []<size_t... R>(std::index_sequence<R...>) {
  return std::array<AddSegment<Factor>, sizeof...(R)>{add_segment<Factor, R + 1, Vectors>...};
}
(std::make_index_sequence<Blocking<Factor>::tile_rows>{});

/// A row of C from its sums, where `columns` are no whole vectors.
template <class T>
void finish_row(int64_t columns, const T* total, const Finish<T>& finish, T* out) {
  for (int64_t j = 0; j < columns; ++j) {
    const T value = finish.alpha * total[j] + (finish.accumulate ? out[j] : 0);
    out[j] = value + (finish.bias ? finish.bias[j] : 0);
  }
}

/// C[rows, columns] from a packed block of A and a strip of B, `depth` > 0 numbers deep; rows are cut into tiles of
/// nearly equal height. A strip that lies in a matrix is packed a segment at a time, into the same memory, while the
/// next is called up.
template <class Factor, class T = typename Factor::Number>
void multiply_scaled_strip(int64_t rows, int64_t columns, int64_t depth, const typename Factor::Packed* a,
                           const Strip<Factor>& b, T* c, int64_t ldc, const Finish<T>& finish, Prefetcher& next) {
  using B = Blocking<Factor>;
  alignas(64) T total[B::rows * B::tile_columns];
  const bool narrow = columns <= B::lanes, whole = columns == (narrow ? B::lanes : B::tile_columns);
  const auto& tile = narrow ? segment_tiles<Factor, 1> : segment_tiles<Factor, 2>;
  const int64_t heights = divide_up(rows, B::tile_rows);
  for (int64_t p = 0; p < depth; p += Factor::segment) {
    const int64_t deep = std::min(Factor::segment, depth - p), steps = B::packed(deep);
    const auto* strip = b.packed;
    Prefetcher of_matrix;
    if (b.matrix) {
      pack_b<Factor>(deep, columns, b.matrix->from(p, 0), b.packed);
      const int64_t below = std::min(Factor::segment, depth - p - deep);
      of_matrix = below > 0 ? prefetch(b.matrix->from(p + deep, 0), below, columns, steps * heights) : next;
    } else {
      strip += B::strip_rows(B::packed(p)) * B::tile_columns;
    }
    Prefetcher& ahead = b.matrix ? of_matrix : next;
    const bool last = p + deep == depth && whole;
    for (int64_t h = 0; h < heights; ++h) {
      const int64_t first = rows * h / heights, height = rows * (h + 1) / heights - first;
      T* sums = total + first * B::tile_columns;
      const SegmentEnd<T> end{p > 0 ? sums : nullptr, last ? c + first * ldc : sums, last ? ldc : B::tile_columns,
                              last ? &finish : nullptr};
      tile[static_cast<size_t>(height - 1)](steps, a + first * B::a_row, strip, end, ahead);
    }
    a += B::a_segment;
  }
  if (whole) return;
  for (int64_t i = 0; i < rows; ++i) finish_row(columns, total + i * B::tile_columns, finish, c + i * ldc);
}

}  // namespace bev::cpu::detail
