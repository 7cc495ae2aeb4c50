// Products by one thread, in blocks that fit the caches: what the plain loops of matmul and convolution are made of,
// and the fastest way for products with few rows (onednn/matmul.cpp has figures). Blocks of A and strips of B are
// packed (packing.h) and multiplied in tiles (tile.h). Each element is summed over the depth in order: bits depend on
// the depth alone, not on how rows and columns are shared out.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/cpu/scaled_tile.h"
#include "runtime/cpu/tile.h"

namespace bev::cpu {

/// C[rows, columns] = finish(A[rows, depth] B[depth, columns]); rows of C are `ldc` elements apart. block(i, p, height,
/// deep) returns rows i .. i + height - 1 of columns p .. p + deep - 1 of A as packed by pack_a. strip(p, deep, j,
/// wide, steps, next) returns rows p .. p + deep - 1 of columns j .. j + wide - 1 of B, and may say what to call up in
/// so many steps meanwhile.
template <class Factor, class Block, class Strips, class T = typename Factor::Number>
void multiply_packed(int64_t rows, int64_t columns, int64_t depth, const Block& block, const Strips& strip, T* c,
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
        const Strip<Factor> right = strip(p, deep, j, wide, steps, next);
        if constexpr (B::scaled) {
          detail::multiply_scaled_strip<Factor>(height, wide, deep, left, right, c + i * ldc + j, ldc, part, next);
        } else {
          detail::multiply_strip<Factor>(height, wide, B::packed(deep), left, right, c + i * ldc + j, ldc, part, next);
        }
      }
    }
  }
}

/// The same from A as it lies.
template <class Factor, class Strips, class T = typename Factor::Number>
void multiply_strips(int64_t rows, int64_t columns, int64_t depth, Operand<T> a, const Strips& strip, T* c, int64_t ldc,
                     const Finish<T>& finish) {
  using B = Blocking<Factor>;
  alignas(64) typename Factor::Packed left[B::a_block];
  const auto block = [&](int64_t i, int64_t p, int64_t height, int64_t deep) {
    detail::pack_a<Factor>(height, deep, a.from(i, p), left);
    return left;
  };
  multiply_packed<Factor>(rows, columns, depth, block, strip, c, ldc, finish);
}

/// The same from B as it lies, where the depth is so small that it is C that takes the time: tiles from left to right,
/// as C lies in memory, and not strip by strip. For whole strips of rows of B.
template <class Factor, class T = typename Factor::Number>
void multiply_shallow(int64_t rows, int64_t columns, int64_t depth, Operand<T> a, Operand<T> b, T* c, int64_t ldc,
                      const Finish<T>& finish) {
  using B = Blocking<Factor>;
  alignas(64) typename Factor::Packed left[B::a_block];
  for (int64_t top = 0; top < rows; top += B::rows) {
    const int64_t below = std::min(B::rows, rows - top);
    detail::pack_a<Factor>(below, depth, a.from(top, 0), left);
    for (int64_t i = 0; i < below; i += B::tile_rows) {
      for (int64_t j = 0; j < columns; j += B::tile_columns) {
        const Operand<T> lying = b.from(0, j);
        const Finish<T> part{finish.alpha, finish.accumulate, finish.bias ? finish.bias + j : nullptr,
                             finish.past_caches};
        Prefetcher next;
        detail::multiply_strip<Factor>(std::min(B::tile_rows, below - i), B::tile_columns, B::packed(depth),
                                       left + i * B::a_row, Strip<Factor>{nullptr, &lying}, c + (top + i) * ldc + j,
                                       ldc, part, next);
      }
    }
  }
}

/// The same from both as they lie.
template <class Factor, class T = typename Factor::Number>
void multiply(int64_t rows, int64_t columns, int64_t depth, Operand<T> a, Operand<T> b, T* c, int64_t ldc,
              const Finish<T>& finish) {
  using B = Blocking<Factor>;
  constexpr int64_t shallow = 32;  // [16 x 512]^T x [16 x 1024], 8 of them, added: 1.65 to 1.23 ms on two cores
  const bool rows_of_b = b.column == 1;
  if constexpr (!B::scaled) {
    const bool whole = rows_of_b && depth % Factor::numbers == 0 && columns % B::tile_columns == 0;
    if (whole && depth > 0 && depth <= shallow) {
      return multiply_shallow<Factor>(rows, columns, depth, a, b, c, ldc, finish);
    }
  }
  constexpr int64_t at_once = B::scaled ? B::packed_segment : B::packed_depth;
  alignas(64) typename Factor::Packed right[B::strip_rows(at_once) * B::tile_columns];
  const int64_t ahead = B::scaled ? Factor::segment : rows_of_b ? detail::StripAsItLies<Factor>::ahead : B::depth;
  prefetch(b, std::min(ahead, depth), std::min(B::tile_columns, columns), 1).step();
  Operand<T> lying;
  const auto strip = [&](int64_t p, int64_t deep, int64_t j, int64_t wide, int64_t steps, Prefetcher& next) {
    const bool end = j + wide == columns;  // then the next is the first of the next depth
    const int64_t q = end ? p + deep : p, below = std::min(B::depth, depth - q);
    const int64_t k = end ? 0 : j + wide, right_of = std::min(B::tile_columns, columns - k);
    if (below > 0) next = prefetch(b.from(q, k), std::min(ahead, below), right_of, steps);
    lying = b.from(p, j);
    const bool whole = rows_of_b && wide == B::tile_columns && deep % Factor::numbers == 0;
    if (B::scaled || whole) return Strip<Factor>{right, &lying};
    if constexpr (!B::scaled) detail::pack_b<Factor>(deep, wide, lying, right);
    return Strip<Factor>{right};
  };
  multiply_strips<Factor>(rows, columns, depth, a, strip, c, ldc, finish);
}

}  // namespace bev::cpu
