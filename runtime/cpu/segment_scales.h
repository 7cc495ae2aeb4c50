// The scales of one segment of a factor (scaled_int16.h), from the norms of its lines: rows of A, or columns of B.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/cpu/operand.h"
#include "runtime/cpu/scaled_int16.h"

namespace bev::cpu::detail {

/// Whether a sum of squares in float is as good as one in double.
inline bool sums_in_float(float squares) { return squares > 0x1p-80f && squares < 0x1p120f; }

/// From the numbers themselves, in double, where squares may leave what float holds. A norm below 2^-100 counts as
/// zero; where a number is infinite or not a number, products are not numbers.
inline void scale_exactly(const float* in, int64_t distance, int64_t depth, float& multiplier, float& scale) {
  double squares = 0;
  for (int64_t p = 0; p < depth; ++p) squares += double{in[p * distance]} * double{in[p * distance]};
  const double norm = std::sqrt(squares), largest = ScaledInt16::largest;
  multiplier = scale = 0;
  if (!std::isfinite(squares)) {
    scale = std::numeric_limits<float>::quiet_NaN();
  } else if (norm >= 0x1p-100) {
    multiplier = static_cast<float>(largest / norm);
    scale = static_cast<float>(norm / largest);
  }
}

/// The sums of the squares of whole vectors of lines side by side; several sums at once, since each waits for its last.
inline void sum_squares_side_by_side(int64_t depth, const Operand<float>& in, Vector<float>& out) {
  constexpr int64_t sums = 4;
  Vector<float> squares[sums] = {}, x;
  const auto add = [&](int64_t p, int64_t i) {
    std::memcpy(&x, in.at(0, p), vector_bytes);
    squares[i] += x * x;
  };
  int64_t p = 0;
  for (; p + sums <= depth; p += sums) {
#pragma GCC unroll 4
    for (int64_t i = 0; i < sums; ++i) add(p + i, i);
  }
  for (; p < depth; ++p) add(p, 0);
  out = (squares[0] + squares[1]) + (squares[2] + squares[3]);
}

/// Of as many lines, or fewer, each of neighbours in memory.
inline void sum_squares_along(int64_t lines, int64_t depth, const Operand<float>& in, Vector<float>& out) {
  constexpr int64_t lanes = vector_size<float>;
  const auto squares_of = [&](int64_t i, Vector<float>& squares) {
    squares = Vector<float>{};
    if (i >= lines) return;
    Vector<float> x;
    int64_t p = 0;
    for (; p + lanes <= depth; p += lanes) {
      std::memcpy(&x, in.at(i, p), vector_bytes);
      squares += x * x;
    }
    if (p == depth) return;
    x = Vector<float>{};
    std::memcpy(&x, in.at(i, p), static_cast<size_t>(depth - p) * sizeof(float));
    squares += x * x;
  };
  alignas(64) float transposed[lanes * lanes];
  transpose_block(squares_of, transposed, lanes);
  out = Vector<float>{};
  for (int64_t p = 0; p < lanes; ++p) {
    Vector<float> row;
    std::memcpy(&row, transposed + p * lanes, vector_bytes);
    out += row;
  }
}

/// Scales of `lines` lines of `in`, each `depth` numbers in a row of `in`. There is room for whole vectors, and
/// multipliers are zero where there are no more lines.
inline void scale_lines(int64_t lines, int64_t depth, const Operand<float>& in, float* multipliers, float* scales) {
  constexpr int64_t lanes = vector_size<float>;
  for (int64_t i = 0; i < lines; i += lanes) {
    const int64_t here = std::min(lanes, lines - i);
    alignas(64) float squares[lanes] = {};
    Vector<float> sums = {};
    if (in.column == 1) {
      sum_squares_along(here, depth, in.from(i, 0), sums);
    } else if (here == lanes) {
      sum_squares_side_by_side(depth, in.from(i, 0), sums);
    }
    std::memcpy(squares, &sums, vector_bytes);
    bool ordinary = true;
    for (int64_t j = 0; j < lanes; ++j) ordinary &= sums_in_float(squares[j]);
    for (int64_t j = 0; j < lanes; ++j) {
      const float norm = std::sqrt(squares[j]);
      multipliers[i + j] = ScaledInt16::largest / norm;
      scales[i + j] = norm * (1 / ScaledInt16::largest);
    }
    if (ordinary) continue;
    for (int64_t j = 0; j < here; ++j) {
      if (sums_in_float(squares[j])) continue;
      scale_exactly(in.at(i + j, 0), in.column, depth, multipliers[i + j], scales[i + j]);
    }
    for (int64_t j = here; j < lanes; ++j) multipliers[i + j] = scales[i + j] = 0;
  }
}

}  // namespace bev::cpu::detail
