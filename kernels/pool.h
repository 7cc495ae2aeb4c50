// Pooling in NHWC: the maximum over 3x3 windows of stride 2 with padding 1, and the mean over 2x2 windows of stride 2
// that counts no padding. Gradients are gathered by the pixels of x, so that no two writes meet. One row of a launch is
// one pixel with its channels.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/annotate.h"
#include "kernels/team.h"

namespace bev {

struct PoolShape {
  int64_t h, w, out_h, out_w, c;
};

struct Pixel {
  int64_t n, y, x;
  BEV_HD Pixel(int64_t index, int64_t h, int64_t w) : n(index / (h * w)), y(index / w % h), x(index % w) {}
};

/// f(first + i) for i in 0..together-1, as often as that fits before c; returns what comes next.
template <int64_t together, class Team, class F>
BEV_HD int64_t each_of_many(Team team, int64_t first, int64_t c, F f) {
  for (; first + together <= c; first += together) team.each(together, [=](int64_t i) { f(first + i); });
  return first;
}

/// f(i) for the channels of a pixel. On the CPU by loops of constant length: in one over as many as there happen to be,
/// of bytes beside floats, most would be done one by one.
template <class Team, class F>
BEV_HD void each_channel(Team team, int64_t c, F f) {
  if constexpr (std::is_same_v<Team, CpuTeam>) {
    int64_t first = each_of_many<64>(team, 0, c, f);
    first = each_of_many<32>(team, first, c, f);
    first = each_of_many<16>(team, first, c, f);
    first = each_of_many<8>(team, first, c, f);
    for (; first < c; ++first) f(first);
  } else {
    team.each(c, f);
  }
}

template <class Team, class T, class F>
BEV_HD void write_channels(Team team, int64_t c, T* out, bool accumulate, F f) {
  if (accumulate) {
    each_channel(team, c, [=](int64_t i) { out[i] += f(i); });
  } else {
    each_channel(team, c, [=](int64_t i) { out[i] = f(i); });
  }
}

/// The 3 rows (or columns) of the window at `out` as taps 0, 1, 2; one that lies outside is replaced by its neighbour
/// inside, which changes no maximum.
struct WindowTaps {
  int tap[3];
  BEV_HD WindowTaps(int64_t out, int64_t size) : tap{out == 0 ? 1 : 0, 1, 2 * out + 1 < size ? 2 : 1} {}
};

/// The windows that hold a row (or column) `at`: `out` from first to first + count - 1; in the window `out` it is tap
/// at - 2 out + 1.
struct Windows {
  int64_t first, count;
  BEV_HD Windows(int64_t at, int64_t out_size) : first(at / 2), count(at % 2 == 1 && at / 2 + 1 < out_size ? 2 : 1) {}
};

/// y and the tap of the first maximum, 3 * row + column, in row-major order. What is not a number counts as largest.
template <class T>
struct MaxPoolForward {
  using Element = T;
  const T* x;       // [n, h, w, c]
  T* y;             // [n, out_h, out_w, c]
  uint8_t* chosen;  // [n, out_h, out_w, c]
  PoolShape shape;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const Pixel out(row, shape.out_h, shape.out_w);
    const WindowTaps rows(out.y, shape.h), columns(out.x, shape.w);
    struct {
      const T* pixel[9];
      int32_t code[9];
    } taps;
    BEV_UNROLL
    for (int i = 0; i < 9; ++i) {
      const int r = rows.tap[i / 3], s = columns.tap[i % 3];
      taps.pixel[i] = x + ((out.n * shape.h + 2 * out.y - 1 + r) * shape.w + 2 * out.x - 1 + s) * shape.c;
      taps.code[i] = 3 * r + s;
    }
    T* largest = y + row * shape.c;
    uint8_t* chosen_tap = chosen + row * shape.c;
    each_channel(team, shape.c, [=](int64_t i) {
      T best = taps.pixel[0][i];
      int32_t code = taps.code[0];
      BEV_UNROLL
      for (int tap = 1; tap < 9; ++tap) {
        const T value = taps.pixel[tap][i];
        const bool larger = value > best || value != value;
        best = larger ? value : best;
        code = larger ? taps.code[tap] : code;
      }
      largest[i] = best;
      chosen_tap[i] = static_cast<uint8_t>(code);
    });
  }
  double bytes(int64_t rows) const { return (5.0 * sizeof(T) + 1) * static_cast<double>(rows * shape.c); }
};

/// A row of the launch is a pixel of x, which lies in one, two or four windows.
template <class T>
struct MaxPoolBackward {
  using Element = T;
  const T* d_y;
  const uint8_t* chosen;
  T* d_x;
  PoolShape shape;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const Pixel at(row, shape.h, shape.w);
    const Windows rows(at.y, shape.out_h), columns(at.x, shape.out_w);
    if (rows.count * columns.count == 4) return gather<2, 2>(team, row, at, rows.first, columns.first);
    if (rows.count == 2) return gather<2, 1>(team, row, at, rows.first, columns.first);
    if (columns.count == 2) return gather<1, 2>(team, row, at, rows.first, columns.first);
    gather<1, 1>(team, row, at, rows.first, columns.first);
  }
  double bytes(int64_t rows) const {
    return ((accumulate ? 2.25 : 1.25) * sizeof(T) + 0.25) * static_cast<double>(rows * shape.c);
  }

 private:
  template <int down, int across, class Team>
  BEV_HD void gather(Team team, int64_t row, const Pixel& at, int64_t p, int64_t q) const {
    struct {
      const T* d[down * across];
      const uint8_t* chosen[down * across];
      int32_t code[down * across];
    } windows;
    BEV_UNROLL
    for (int i = 0; i < down * across; ++i) {
      const int64_t y = p + i / across, x = q + i % across,
                    out = ((at.n * shape.out_h + y) * shape.out_w + x) * shape.c;
      windows.d[i] = d_y + out;
      windows.chosen[i] = chosen + out;
      windows.code[i] = static_cast<int32_t>(3 * (at.y - 2 * y + 1) + at.x - 2 * x + 1);
    }
    write_channels(team, shape.c, d_x + row * shape.c, accumulate, [=](int64_t i) {
      T sum = 0;
      BEV_UNROLL
      for (int k = 0; k < down * across; ++k) {
        const T d = windows.d[k][i];
        sum += windows.chosen[k][i] == windows.code[k] ? d : T(0);
      }
      return sum;
    });
  }
};

/// How many of a window's 2 rows (or columns) lie inside.
BEV_HD inline int64_t half_window(int64_t out, int64_t size) { return 2 * out + 1 < size ? 2 : 1; }

template <class T>
struct AveragePoolForward {
  using Element = T;
  const T* x;  // [n, h, w, c]
  T* y;        // [n, out_h, out_w, c]
  PoolShape shape;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const Pixel out(row, shape.out_h, shape.out_w);
    const int64_t rows = half_window(out.y, shape.h), columns = half_window(out.x, shape.w), c = shape.c;
    const T* in = x + ((out.n * shape.h + 2 * out.y) * shape.w + 2 * out.x) * c;
    // Where a neighbour is missing the pixel itself stands in for it: the mean over what is there stays the same.
    const int64_t right = columns == 2 ? c : 0, below = rows == 2 ? shape.w * c : 0;
    T* mean = y + row * c;
    each_channel(team, c, [=](int64_t i) {
      mean[i] = T(0.25) * (in[i] + in[i + right] + in[i + below] + in[i + below + right]);
    });
  }
  double bytes(int64_t rows) const { return 5.0 * sizeof(T) * static_cast<double>(rows * shape.c); }
};

/// A row of the launch is a pixel of x, which lies in one window.
template <class T>
struct AveragePoolBackward {
  using Element = T;
  const T* d_y;
  T* d_x;
  PoolShape shape;
  bool accumulate;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const Pixel at(row, shape.h, shape.w);
    const int64_t p = at.y / 2, q = at.x / 2, c = shape.c;
    const T share = T(1) / static_cast<T>(half_window(p, shape.h) * half_window(q, shape.w));
    const T* d = d_y + ((at.n * shape.out_h + p) * shape.out_w + q) * c;
    write_channels(team, c, d_x + row * c, accumulate, [=](int64_t i) { return d[i] * share; });
  }
  double bytes(int64_t rows) const {
    return (accumulate ? 2.25 : 1.25) * sizeof(T) * static_cast<double>(rows * shape.c);
  }
};

}  // namespace bev
