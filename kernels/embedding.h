// What turns numbers into tokens: learned embeddings of position and segment, and the sinusoidal embedding of the
// diffusion time.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"

namespace bev {

/// Row (sample, t) of the launch: y = x + position[t] + segment, from a sequence of `tokens` into a longer one.
template <class T>
struct PlaceTokens {
  using Element = T;
  const T* x;         // [samples, tokens, width]
  const T* position;  // [at least tokens, width], or null
  const T* segment;   // [width], or null
  T* y;               // the first token's place in the first sample; samples are y_sample apart
  int64_t width, tokens, y_sample;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t row) const {
    const int64_t sample = row / tokens, t = row % tokens;
    const T *in = x + row * width, *place = position ? position + t * width : nullptr;
    T* out = y + sample * y_sample + t * width;
    team.each(width, [&](int64_t i) { out[i] = in[i] + (place ? place[i] : T(0)) + (segment ? segment[i] : T(0)); });
  }
  double bytes(int64_t rows) const { return 2.0 * sizeof(T) * static_cast<double>(rows * width); }
};

/// Sums over samples: out[col] = sum over b of d[b * sample + col]. The gradient of the position embeddings.
template <class T>
struct SampleSum {
  using Element = T;
  static constexpr int sums = 1;
  const T* d;
  T* out;
  int64_t sample;

  BEV_HD std::array<T, 1> value(int64_t row, int64_t col) const { return {d[row * sample + col]}; }
  BEV_HD void finish(int64_t col, const std::array<T, 1>& total) const { out[col] = total[0]; }
  double bytes(int64_t elements) const { return 1.0 * sizeof(T) * static_cast<double>(elements); }
};

/// y = x + e(t), with e(t)_i = sin(t w_i) for the first half of the width and cos(t w_i) for the second,
/// w_i = exp(-i ln(10000) / (width/2 - 1)) (Vaswani et al. 2017, section 3.5, with halves instead of pairs). In double,
/// since t w_i runs over many periods' fractions that float would blur. One row of the launch is one sample.
template <class T>
struct AddTimeEmbedding {
  using Element = T;
  const T* x;            // [samples, width]
  const int64_t* times;  // [samples], or null: `time` for all
  int64_t time;
  T* y;  // [samples, width]
  int64_t width;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t sample) const {
    const int64_t half = width / 2;
    const double t = static_cast<double>(times ? times[sample] : time);
    const double step = half > 1 ? 9.210340371976182736 / static_cast<double>(half - 1) : 0;  // ln(10000)
    const T* in = x + sample * width;
    T* out = y + sample * width;
    team.each(half, [&](int64_t i) {
      const double angle = t * std::exp(-step * static_cast<double>(i));
      out[i] = in[i] + static_cast<T>(std::sin(angle));
      out[i + half] = in[i + half] + static_cast<T>(std::cos(angle));
    });
  }
  double bytes(int64_t samples) const { return 2.0 * sizeof(T) * static_cast<double>(samples * width); }
};

}  // namespace bev
