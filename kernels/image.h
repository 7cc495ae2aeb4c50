// Images as data sets hold them, channels outermost, in the layout and the type that convolutions work in.
#pragma once

#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/convert.h"

namespace bev {

/// out[n, y, x, :] = [in[n, :, y, x] * factor + offset; 0], three channels of the image and a fourth of zeros, which
/// makes a pixel 16 bytes of float. One row of the launch is one row of an image.
template <class T, class Stored>
struct ImageChannelsLast {
  using Element = T;
  const Stored* in;  // [n, 3, h, w]
  T* out;            // [n, h, w, 4]
  T factor[3], offset[3];
  int64_t h, w;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t plane = h * w;
    const Stored *a = in + (row / h * 3 * h + row % h) * w, *b = a + plane, *c = b + plane;
    T* pixel = out + row * w * 4;
    const T fa = factor[0], fb = factor[1], fc = factor[2], oa = offset[0], ob = offset[1], oc = offset[2];
    team.each(w, [=](int64_t x) {
      pixel[4 * x] = from_stored<T>(a[x]) * fa + oa;
      pixel[4 * x + 1] = from_stored<T>(b[x]) * fb + ob;
      pixel[4 * x + 2] = from_stored<T>(c[x]) * fc + oc;
      pixel[4 * x + 3] = 0;
    });
  }
  double bytes(int64_t rows) const { return (3.0 * sizeof(Stored) + 4.0 * sizeof(T)) * static_cast<double>(rows * w); }
};

}  // namespace bev
