// Blocks of factors as whole numbers with scales (scaled_int16.h), packed for scaled_tile.h segment by segment of the
// depth: the scales of A stand behind each row of a segment, those of B as a row before it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "runtime/cpu/packing.h"
#include "runtime/cpu/segment.h"

namespace bev::cpu::detail {

/// Lines of A, row by row, `a_row` apart.
inline void pack_segment_of_a(const Segment& segment, uint32_t* out) {
  using B = Blocking<ScaledInt16>;
  const int64_t lines = segment.vectors * B::lanes, padded = segment.padded;
  for (int64_t line = 0; line < lines; ++line) {
    std::memcpy(out + line * B::a_row + B::packed_segment, segment.scales + line, sizeof(float));
  }
  if (segment.along) {
    for (int64_t line = 0; line < lines; ++line) {
      const float *in = segment.at(line, 0), multiplier = segment.multipliers[line];
      for (int64_t p = 0; p < padded; p += 2 * B::lanes) {
        Vector<uint32_t> vector;
        ScaledInt16::along(in + p, multiplier, vector);
        std::memcpy(out + line * B::a_row + p / 2, &vector, vector_bytes);
      }
    }
    return;
  }
  for (int64_t line = 0; line < lines; line += B::lanes) {
    Vector<float> multipliers;
    std::memcpy(&multipliers, segment.multipliers + line, vector_bytes);
    for (int64_t p = 0; p < padded; p += 2 * B::lanes) {
      const auto load = [&](int64_t pair, auto& vector) {
        ScaledInt16::across(segment.at(line, p + 2 * pair), Segment::lines, multipliers, vector);
      };
      transpose_block(load, out + line * B::a_row + p / 2, B::a_row);
    }
  }
}

/// Columns of B, in rows of a strip, after a row of scales.
template <Store how>
void pack_segment_of_b(const Segment& segment, uint32_t* out) {
  using B = Blocking<ScaledInt16>;
  constexpr int64_t width = B::tile_columns;
  const int64_t padded = segment.padded;
  for (int64_t line = 0; line < segment.vectors * B::lanes; line += B::lanes) {
    Vector<uint32_t> vector;
    std::memcpy(&vector, segment.scales + line, vector_bytes);
    store<how, uint32_t>(out + line, vector);
    uint32_t* below = out + width + line;
    if (segment.along) {
      for (int64_t p = 0; p < padded; p += 2 * B::lanes) {
        const auto load = [&](int64_t column, auto& loaded) {
          ScaledInt16::along(segment.at(line + column, p), segment.multipliers[line + column], loaded);
        };
        transpose_block<uint32_t, how>(load, below + p / 2 * width, width);
      }
      continue;
    }
    Vector<float> multipliers;
    std::memcpy(&multipliers, segment.multipliers + line, vector_bytes);
    const float* in = segment.at(line, 0);
    for (int64_t p = 0; p < padded; p += 2) {
      ScaledInt16::across(in + p * Segment::lines, Segment::lines, multipliers, vector);
      store<how, uint32_t>(below + p / 2 * width, vector);
    }
  }
}

/// A[rows, depth] as packed[i * a_row + p] in each segment, by whole vectors: there is room for them.
template <class Factor>
requires(Blocking<Factor>::scaled) void pack_a(int64_t rows, int64_t depth, Operand<typename Factor::Number> a,
                                               typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  Segment segment;
  for (int64_t p = 0; p < depth; p += Segment::depth) {
    const int64_t deep = std::min(Segment::depth, depth - p);
    for (int64_t i = 0; i < rows; i += Segment::lines) {
      read_segment(std::min(Segment::lines, rows - i), deep, a.from(i, p), segment);
      pack_segment_of_a(segment, packed + p / Segment::depth * B::a_segment + i * B::a_row);
    }
  }
}

/// B[depth, columns] as packed[p * tile_columns + j] in each segment, in the first vector of columns alone if there are
/// no more, and zero for j from `columns` on.
template <class Factor, Store how = Store::cached>
requires(Blocking<Factor>::scaled) void pack_b(int64_t depth, int64_t columns, Operand<typename Factor::Number> b,
                                               typename Factor::Packed* packed) {
  using B = Blocking<Factor>;
  static_assert(B::tile_columns == Segment::lines);
  Segment segment;
  const Operand<float> transposed{b.data, b.column, b.row};
  for (int64_t p = 0; p < depth; p += Segment::depth) {
    read_segment(columns, std::min(Segment::depth, depth - p), transposed.from(0, p), segment);
    pack_segment_of_b<how>(segment, packed + B::strip_rows(p / 2) * B::tile_columns);
  }
}

}  // namespace bev::cpu::detail
