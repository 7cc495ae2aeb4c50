// Pooling in NHWC: the maximum over 3x3 windows of stride 2 with padding 1, and the mean over 2x2 windows of stride 2
// that counts no padding. Gradients are gathered by the pixels of x, so that no two writes meet. One row of a launch is
// one pixel with its channels.
#pragma once

#include <cstdint>

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

/// Which of a window's 3 rows (or columns) lie inside: taps first .. last of the window at `out`.
struct WindowTaps {
  int64_t first, last;
  BEV_HD WindowTaps(int64_t out, int64_t size) : first(out == 0 ? 1 : 0), last(2 * out + 1 < size ? 2 : 1) {}
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
    const int64_t c = shape.c;
    T* largest = y + row * c;
    uint8_t* tap = chosen + row * c;
    for (int64_t r = rows.first; r <= rows.last; ++r) {
      for (int64_t s = columns.first; s <= columns.last; ++s) {
        const T* in = x + ((out.n * shape.h + 2 * out.y - 1 + r) * shape.w + 2 * out.x - 1 + s) * c;
        const auto code = static_cast<uint8_t>(3 * r + s);
        if (r == rows.first && s == columns.first) {
          team.each(c, [=](int64_t i) {
            largest[i] = in[i];
            tap[i] = code;
          });
        } else {
          team.each(c, [=](int64_t i) {
            const bool larger = in[i] > largest[i] || in[i] != in[i];
            largest[i] = larger ? in[i] : largest[i];
            tap[i] = larger ? code : tap[i];
          });
        }
      }
    }
  }
  double bytes(int64_t rows) const { return (5.0 * sizeof(T) + 1) * static_cast<double>(rows * shape.c); }
};

/// A row of the launch is a pixel of x.
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
    const int64_t c = shape.c;
    bool add = accumulate;
    for (int64_t p = rows.first; p < rows.first + rows.count; ++p) {
      for (int64_t q = columns.first; q < columns.first + columns.count; ++q) {
        const int64_t out = ((at.n * shape.out_h + p) * shape.out_w + q) * c;
        const T* d = d_y + out;
        const uint8_t* tap = chosen + out;
        const auto code = static_cast<uint8_t>(3 * (at.y - 2 * p + 1) + at.x - 2 * q + 1);
        write_each(team, c, d_x + row * c, add, [=](int64_t i) { return tap[i] == code ? d[i] : T(0); });
        add = true;
      }
    }
  }
  double bytes(int64_t rows) const {
    return ((accumulate ? 2.25 : 1.25) * sizeof(T) + 0.25) * static_cast<double>(rows * shape.c);
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
    team.each(c,
              [=](int64_t i) { mean[i] = T(0.25) * (in[i] + in[i + right] + in[i + below] + in[i + below + right]); });
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
    write_each(team, c, d_x + row * c, accumulate, [=](int64_t i) { return d[i] * share; });
  }
  double bytes(int64_t rows) const {
    return (accumulate ? 2.25 : 1.25) * sizeof(T) * static_cast<double>(rows * shape.c);
  }
};

}  // namespace bev
