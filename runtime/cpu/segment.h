// A segment of a factor of products in whole numbers (scaled_int16.h), with its scales. It is looked at twice, for the
// norms of its lines and to be packed. So it is copied at the first look: lines a power of two apart, as they often
// lie, share few lines of a cache, and the second would find none of them there.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "runtime/cpu/operand.h"
#include "runtime/cpu/scaled_int16.h"

namespace bev::cpu::detail {

/// Lines, rows of A or columns of B, as many as one or two vectors have elements.
struct Segment {
  static constexpr int64_t lanes = vector_size<float>, lines = 2 * lanes, depth = ScaledInt16::segment;

  bool along;       // the numbers of a line are neighbours; if not, those of all lines at one place in the depth are
  int64_t vectors;  // of lines
  int64_t padded;   // how deep, in vectors of packed numbers; behind the factor's end there are zeros
  alignas(64) float numbers[lines * depth];
  alignas(64) float multipliers[lines], scales[lines];

  int64_t next_line() const { return along ? depth : 1; }
  int64_t next_in_depth() const { return along ? 1 : lines; }
  const float* at(int64_t line, int64_t p) const { return numbers + line * next_line() + p * next_in_depth(); }
};

/// Copies lines side by side, in vectors, and returns their sums of squares; several sums at once, since each waits for
/// its last. Where lines of a cache are few, two neighbours take the time of one: 0.084 ns a number, and 0.155 from
/// vectors one by one, in rows 4 KB apart.
template <int Vectors>
void copy_side_by_side(int64_t lines, int64_t depth, Operand<float> in, Segment& out, float* squares) {
  constexpr int64_t lanes = Segment::lanes, sums = 4;
  Vector<float> sum[sums][Vectors] = {};
  const auto copy = [&](int64_t p, int64_t i, const auto& load) {
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      Vector<float> x = {};
      load(p, v, x);
      std::memcpy(out.numbers + p * Segment::lines + v * lanes, &x, vector_bytes);
      sum[i][v] += x * x;
    }
  };
  const auto copy_all = [&](const auto& load) {
    int64_t p = 0;
    for (; p + sums <= depth; p += sums) {
#pragma GCC unroll 4
      for (int64_t i = 0; i < sums; ++i) copy(p + i, i, load);
    }
    for (; p < depth; ++p) copy(p, 0, load);
  };
  if (lines == Vectors * lanes) {
    copy_all([&](int64_t p, int v, Vector<float>& x) { std::memcpy(&x, in.at(v * lanes, p), vector_bytes); });
  } else {
    copy_all([&](int64_t p, int v, Vector<float>& x) {
      const int64_t count = std::clamp<int64_t>(lines - v * lanes, 0, lanes);
      std::memcpy(&x, in.at(v * lanes, p), static_cast<size_t>(count) * sizeof(float));
    });
  }
  std::fill(out.numbers + depth * Segment::lines, out.numbers + out.padded * Segment::lines, 0.0f);
  for (int v = 0; v < Vectors; ++v) {
    const Vector<float> all = (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]);
    std::memcpy(squares + v * lanes, &all, vector_bytes);
  }
}

/// Copies a line, `depth` numbers or none, and returns its sums of squares, of all that one place of a vector holds.
inline void copy_line(const float* in, int64_t depth, int64_t padded, float* out, Vector<float>& squares) {
  constexpr int64_t lanes = Segment::lanes, sums = 2;
  Vector<float> sum[sums] = {}, x;
  const auto add = [&](int64_t p, int64_t i) {
    std::memcpy(out + p, &x, vector_bytes);
    sum[i] += x * x;
  };
  int64_t p = 0;
  for (; p + sums * lanes <= depth; p += sums * lanes) {
#pragma GCC unroll 2
    for (int64_t i = 0; i < sums; ++i) {
      std::memcpy(&x, in + p + i * lanes, vector_bytes);
      add(p + i * lanes, i);
    }
  }
  for (; p < padded; p += lanes) {
    x = Vector<float>{};
    if (p < depth) std::memcpy(&x, in + p, static_cast<size_t>(std::min(lanes, depth - p)) * sizeof(float));
    add(p, 0);
  }
  squares = sum[0] + sum[1];
}

/// Copies a vector of lines one by one, from line `first` on, and returns their sums of squares.
inline void copy_along(int64_t first, int64_t lines, int64_t depth, const Operand<float>& in, Segment& out,
                       float* squares) {
  constexpr int64_t lanes = Segment::lanes;
  alignas(64) float sums[lanes * lanes], transposed[lanes * lanes];
  for (int64_t line = 0; line < lanes; ++line) {
    const bool there = first + line < lines;
    Vector<float> sum;
    copy_line(there ? in.at(first + line, 0) : nullptr, there ? depth : 0, out.padded,
              out.numbers + (first + line) * Segment::depth, sum);
    std::memcpy(sums + line * lanes, &sum, vector_bytes);
  }
  const auto load = [&](int64_t line, auto& sum) { std::memcpy(&sum, sums + line * lanes, vector_bytes); };
  transpose_block(load, transposed, lanes);
  Vector<float> total = {}, row;
  for (int64_t p = 0; p < lanes; ++p) {
    std::memcpy(&row, transposed + p * lanes, vector_bytes);
    total += row;
  }
  std::memcpy(squares, &total, vector_bytes);
}

/// The scale of a line from its numbers in double, whose squares may leave what float holds. A norm below 2^-100 counts
/// as zero; where a number is infinite or not a number, products are not numbers.
inline void scale_exactly(int64_t line, int64_t depth, Segment& out) {
  out.multipliers[line] = out.scales[line] = 0;
  double squares = 0;
  for (int64_t p = 0; p < depth; ++p) squares += double{*out.at(line, p)} * double{*out.at(line, p)};
  const double norm = std::sqrt(squares), largest = ScaledInt16::largest;
  if (!std::isfinite(squares)) {
    out.scales[line] = std::numeric_limits<float>::quiet_NaN();
  } else if (norm >= 0x1p-100) {
    out.multipliers[line] = static_cast<float>(largest / norm);
    out.scales[line] = static_cast<float>(norm / largest);
  }
}

/// Whether a vector of lines, from line `first` on, holds zeros alone, as what is masked or not yet learnt often does.
inline bool only_zeros(int64_t first, const Segment& in) {
  constexpr int64_t lanes = Segment::lanes;
  const int64_t blocks = in.along ? lanes : in.padded, vectors = in.along ? in.padded / lanes : 1;
  const float* numbers = in.numbers + first * in.next_line();
  Vector<uint32_t> any = {}, bits;
  for (int64_t i = 0; i < blocks; ++i) {
    for (int64_t v = 0; v < vectors; ++v) {
      std::memcpy(&bits, numbers + i * (in.along ? Segment::depth : Segment::lines) + v * lanes, vector_bytes);
      any |= bits << 1;  // but for the sign
    }
  }
  uint32_t one = 0;
  for (int64_t j = 0; j < lanes; ++j) one |= any[j];
  return one == 0;
}

/// `lines` lines of `in`, at most Segment::lines, each `depth` numbers in a row of `in`.
inline void read_segment(int64_t lines, int64_t depth, const Operand<float>& in, Segment& out) {
  constexpr int64_t lanes = Segment::lanes, deep = 2 * lanes;
  out.along = in.column == 1;
  out.vectors = divide_up(lines, lanes);
  out.padded = divide_up(depth, deep) * deep;
  alignas(64) float squares[Segment::lines];
  if (out.along) {
    for (int64_t v = 0; v < out.vectors; ++v) copy_along(v * lanes, lines, depth, in, out, squares + v * lanes);
  } else {
    (out.vectors == 1 ? copy_side_by_side<1> : copy_side_by_side<2>)(lines, depth, in, out, squares);
  }
  // Then sums of squares in float are as good as those in double.
  const auto ordinary = [](float sum) { return sum > 0x1p-80f && sum < 0x1p120f; };
  for (int64_t v = 0; v < out.vectors * lanes; v += lanes) {
    bool all_ordinary = true;
    for (int64_t j = v; j < v + lanes; ++j) {
      all_ordinary &= ordinary(squares[j]);
      const float norm = std::sqrt(squares[j]);
      out.multipliers[j] = ScaledInt16::largest / norm;
      out.scales[j] = norm * (1 / ScaledInt16::largest);
    }
    if (all_ordinary) continue;
    const int64_t there = only_zeros(v, out) ? v : std::min(v + lanes, lines);
    for (int64_t j = v; j < there; ++j) {
      if (!ordinary(squares[j])) scale_exactly(j, depth, out);
    }
    for (int64_t j = there; j < v + lanes; ++j) out.multipliers[j] = out.scales[j] = 0;
  }
}

}  // namespace bev::cpu::detail
