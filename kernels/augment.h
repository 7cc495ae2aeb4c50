// Training noise on what the car observes, from the counter-based generator: the same for a sample whatever the number
// of replicas, and after a resume.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/philox.h"
#include "kernels/step_state.h"

namespace bev {

/// y = x + deviation * normal, per element of [samples, values].
template <class T>
struct AddNormalNoise {
  using Element = T;
  const T* x;
  T* y;
  const StepState* state;
  uint32_t place;
  int64_t values;
  T deviation;

  BEV_HD void operator()(int64_t i) const {
    const int64_t sample = i / values, element = i % values;
    const double noise = normal_at(state->seed, static_cast<uint32_t>(state->sample_offset + sample), place,
                                   static_cast<uint32_t>(state->step), element);
    y[i] = x[i] + deviation * static_cast<T>(noise);
  }
  double bytes(int64_t n) const { return 2.0 * sizeof(T) * static_cast<double>(n); }
};

/// The same for rasters of bytes [samples, values], whose 255 is 1: rounded and clamped to bytes again.
template <class T>
struct AddRasterNoise {
  using Element = T;
  const uint8_t* x;
  uint8_t* y;
  const StepState* state;
  uint32_t place;
  int64_t values;
  T deviation;

  BEV_HD void operator()(int64_t i) const {
    const int64_t sample = i / values, element = i % values;
    const double noise = normal_at(state->seed, static_cast<uint32_t>(state->sample_offset + sample), place,
                                   static_cast<uint32_t>(state->step), element);
    const T noisy = static_cast<T>(x[i]) + 255 * deviation * static_cast<T>(noise) + T(0.5);
    y[i] = noisy <= 0 ? uint8_t{0} : noisy >= 255 ? uint8_t{255} : static_cast<uint8_t>(noisy);
  }
  double bytes(int64_t n) const { return 2.0 * static_cast<double>(n); }
};

}  // namespace bev
