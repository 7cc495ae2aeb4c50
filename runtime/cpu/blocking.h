// Sizes of the blocks in which products are computed.
#pragma once

#include <cstdint>

#include "runtime/cpu/operand.h"
#include "runtime/cpu/vector.h"

namespace bev::cpu {

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
  /// What is packed at once, one segment after the other: those that share scales, or all.
  static constexpr bool scaled = Factor::segment > 0;
  static constexpr int64_t packed_segment = scaled ? Factor::segment / Factor::numbers : packed_depth;
  static_assert(packed_depth % packed_segment == 0);
  /// Distance of packed rows of A, a cache line more than a segment: rows of a tile lie in different sets of the cache.
  static constexpr int64_t a_row = packed_segment + 64 / static_cast<int64_t>(sizeof(Packed));
  static constexpr int64_t a_segment = rows * a_row, a_block = packed_depth / packed_segment * a_segment;

  static constexpr int64_t packed(int64_t numbers) { return divide_up(numbers, Factor::numbers); }
  /// Rows of a strip of B that is so deep, those of scales among them.
  static constexpr int64_t strip_rows(int64_t packed_rows) {
    return packed_rows + (scaled ? divide_up(packed_rows, packed_segment) : 0);
  }
};

}  // namespace bev::cpu
