// Blocks of the factors of a product, packed for the tiles of block_product.h: A row by row, B in strips as wide as a
// tile, transposed where needed, and rounded on the way where factors are (factors.h). Where segments of the depth have
// scales, those of A stand behind each row of a segment, those of B as a row before it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "runtime/cpu/factors.h"
#include "runtime/cpu/operand.h"
#include "runtime/cpu/scaled_int16.h"
#include "runtime/cpu/segment_scales.h"
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

namespace detail {

/// Factor::along from `count` numbers, and zeros where a vector takes more. `by` are multipliers, or Unscaled.
template <class Factor, class By>
void load_along(const typename Factor::Number* in, int64_t count, By by, Vector<typename Factor::Packed>& out) {
  constexpr int64_t whole = Blocking<Factor>::lanes * Factor::numbers;
  if (count >= whole) return Factor::along(in, by, out);
  typename Factor::Number padded[whole] = {};
  std::copy_n(in, std::max<int64_t>(count, 0), padded);
  Factor::along(padded, by, out);
}

/// Factor::across from the upper left of `deep` rows of `wide` numbers, and zeros where a vector takes more.
template <class Factor, class By>
void load_across(const typename Factor::Number* in, int64_t next, int64_t deep, int64_t wide, By by,
                 Vector<typename Factor::Packed>& out) {
  constexpr int64_t lanes = Blocking<Factor>::lanes, numbers = Factor::numbers;
  if (deep >= numbers && wide >= lanes) return Factor::across(in, next, by, out);
  typename Factor::Number padded[numbers * lanes] = {};
  for (int64_t p = 0; p < std::min(deep, numbers); ++p) {
    std::copy_n(in + p * next, std::clamp<int64_t>(wide, 0, lanes), padded + p * lanes);
  }
  Factor::across(padded, lanes, by, out);
}

/// A[rows, depth] as packed[i * a_row + p], by whole vectors: there is room for them, and zeros where A has no more.
template <class Factor, class By>
void pack_rows(int64_t rows, int64_t depth, Operand<typename Factor::Number> a, By by,
               typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  for (int64_t p = 0; p < depth; p += B::lanes * Factor::numbers) {
    typename Factor::Packed* out = packed + p / Factor::numbers;
    if (a.column == 1) {
      const auto pack = [&](const auto& load) {
        for (int64_t i = 0; i < rows; ++i) {
          Vector<typename Factor::Packed> vector;
          load(i, vector);
          std::memcpy(out + i * B::a_row, &vector, vector_bytes);
        }
      };
      if (depth - p >= B::lanes * Factor::numbers) {
        pack([&](int64_t i, auto& vector) { Factor::along(a.at(i, p), by.of(i), vector); });
      } else {
        pack([&](int64_t i, auto& vector) { load_along<Factor>(a.at(i, p), depth - p, by.of(i), vector); });
      }
      continue;
    }
    for (int64_t i = 0; i < rows; i += B::lanes) {
      const auto load = [&](int64_t row, auto& vector) {
        const int64_t first = p + row * Factor::numbers;
        load_across<Factor>(a.at(i, first), a.column, depth - first, rows - i, by.of(i), vector);
      };
      const auto load_whole = [&](int64_t row, auto& vector) {
        Factor::across(a.at(i, p + row * Factor::numbers), a.column, by.of(i), vector);
      };
      if (depth - p >= B::lanes * Factor::numbers && rows - i >= B::lanes) {
        transpose_block(load_whole, out + i * B::a_row, B::a_row);
      } else {
        transpose_block(load, out + i * B::a_row, B::a_row);
      }
    }
  }
}

/// The same for a block, segment by segment, and the scale of row i as packed[i * a_row + packed_segment].
template <class Factor>
void pack_a(int64_t rows, int64_t depth, Operand<typename Factor::Number> a, typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  if constexpr (B::scaled) {
    for (int64_t p = 0; p < depth; p += Factor::segment) {
      const int64_t deep = std::min(Factor::segment, depth - p);
      alignas(64) float multipliers[B::rows], scales[B::rows];
      scale_lines(rows, deep, a.from(0, p), multipliers, scales);
      pack_rows<Factor>(rows, deep, a.from(0, p), Scaled{multipliers}, packed);
      for (int64_t i = 0; i < rows; ++i)
        std::memcpy(packed + i * B::a_row + B::packed_segment, scales + i, sizeof(float));
      packed += B::a_segment;
    }
  } else {
    pack_rows<Factor>(rows, depth, a, Unscaled{}, packed);
  }
}

/// B[depth, columns] as packed[p * tile_columns + j], zero for j from `columns` on; as many rows as whole vectors have
/// where B is transposed.
template <class Factor, Store how, class By>
void pack_columns(int64_t depth, int64_t columns, Operand<typename Factor::Number> b, By by,
                  typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  constexpr int64_t width = B::tile_columns;
  if (b.column == 1) {
    const auto pack = [&](int64_t p, const auto& load) {
#pragma GCC unroll 2
      for (int64_t j = 0; j < width; j += B::lanes) {
        Vector<typename Factor::Packed> vector;
        load(j, vector);
        store<how, typename Factor::Packed>(packed + p / Factor::numbers * width + j, vector);
      }
    };
    const int64_t whole = columns >= width ? depth / Factor::numbers * Factor::numbers : 0;
    for (int64_t p = 0; p < whole; p += Factor::numbers) {
      pack(p, [&](int64_t j, auto& vector) { Factor::across(b.at(p, j), b.row, by.of(j), vector); });
    }
    for (int64_t p = whole; p < depth; p += Factor::numbers) {
      pack(p, [&](int64_t j, auto& vector) {
        load_across<Factor>(b.at(p, j), b.row, depth - p, columns - j, by.of(j), vector);
      });
    }
    return;
  }
  for (int64_t j = 0; j < width; j += B::lanes) {
    for (int64_t p = 0; p < depth; p += B::lanes * Factor::numbers) {
      const auto load = [&](int64_t column, auto& vector) {
        load_along<Factor>(b.at(p, j + column), j + column < columns ? depth - p : 0, by.of(j + column), vector);
      };
      const auto load_whole = [&](int64_t column, auto& vector) {
        Factor::along(b.at(p, j + column), by.of(j + column), vector);
      };
      typename Factor::Packed* out = packed + p / Factor::numbers * width + j;
      if (depth - p >= B::lanes * Factor::numbers && columns - j >= B::lanes) {
        transpose_block<typename Factor::Packed, how>(load_whole, out, width);
      } else {
        transpose_block<typename Factor::Packed, how>(load, out, width);
      }
    }
  }
}

/// The same, each segment after a row of its scales.
template <class Factor, Store how = Store::cached>
void pack_b(int64_t depth, int64_t columns, Operand<typename Factor::Number> b, typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  if constexpr (B::scaled) {
    const Operand<typename Factor::Number> transposed{b.data, b.column, b.row};
    for (int64_t p = 0; p < depth; p += Factor::segment) {
      const int64_t deep = std::min(Factor::segment, depth - p);
      alignas(64) float multipliers[B::tile_columns] = {}, scales[B::tile_columns] = {};
      scale_lines(columns, deep, transposed.from(0, p), multipliers, scales);
      typename Factor::Packed* out = packed + B::strip_rows(p / Factor::numbers) * B::tile_columns;
      for (int64_t j = 0; j < B::tile_columns; j += B::lanes) {
        Vector<typename Factor::Packed> vector;
        std::memcpy(&vector, scales + j, vector_bytes);
        store<how, typename Factor::Packed>(out + j, vector);
      }
      pack_columns<Factor, how>(deep, columns, b.from(p, 0), Scaled{multipliers}, out + B::tile_columns);
    }
  } else {
    pack_columns<Factor, how>(depth, columns, b, Unscaled{}, packed);
  }
}

}  // namespace detail
}  // namespace bev::cpu
