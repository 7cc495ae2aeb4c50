// The arithmetic of diffusion over trajectories [samples, values] (values = horizon * 2 coordinates): drawing times and
// noise, the noisy input and its target (Ho et al. 2020, eq. 4 and 14; v as in Salimans and Ho 2022, section 4), the
// mean squared error, and one sampling step.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/philox.h"
#include "kernels/step_state.h"

namespace bev {

/// The diffusion time of `sample` for `place`, uniform in 0 .. levels - 1; its block is beyond those of all elements.
BEV_HD inline int64_t time_at(uint64_t seed, uint32_t sample, uint32_t place, uint32_t step, int64_t levels) {
  const Random4 bits = philox4x32(seed, 0xffffffffu, sample, place, step);
  return static_cast<int64_t>(uniform<double>(bits.word[0]) * static_cast<double>(levels));
}

/// Times uniform in 0 .. levels - 1 and standard normal noise, of samples by their place in the global batch. One
/// element of the launch is one number of `noise`.
template <class T>
struct DrawDiffusion {
  using Element = T;
  const StepState* state;
  uint32_t place;
  int64_t values, levels;
  int64_t* times;  // [samples]
  T* noise;        // [samples, values]

  BEV_HD void operator()(int64_t i) const {
    const int64_t sample = i / values, element = i % values;
    const auto global = static_cast<uint32_t>(state->sample_offset + sample);
    const auto step = static_cast<uint32_t>(state->step);
    noise[i] = static_cast<T>(normal_at(state->seed, global, place, step, element));
    if (element == 0) times[sample] = time_at(state->seed, global, place, step, levels);
  }
  double bytes(int64_t n) const { return 1.0 * sizeof(T) * static_cast<double>(n); }
};

/// The same for samples by their number in the data set, for validation: equal in every run and for every batch size.
template <class T>
struct DrawSampleNoise {
  using Element = T;
  const int64_t* samples;  // [samples]
  T* noise;                // [samples, values]
  int64_t* times;          // [samples], or null
  uint64_t seed;
  uint32_t place, step;
  int64_t values, levels;

  BEV_HD void operator()(int64_t i) const {
    const auto sample = static_cast<uint32_t>(samples[i / values]);
    noise[i] = static_cast<T>(normal_at(seed, sample, place, step, i % values));
    if (times && i % values == 0) times[i / values] = time_at(seed, sample, place, step, levels);
  }
  double bytes(int64_t n) const { return 1.0 * sizeof(T) * static_cast<double>(n); }
};

/// How metres become the model's units, coordinate by coordinate, and back; the range must not be empty.
struct ActionRange {
  double low[2], high[2];
  bool active;
  BEV_HD double normalised(double a, int coordinate) const {
    return active ? 2 * (a - low[coordinate]) / (high[coordinate] - low[coordinate] + 1e-8) - 1 : a;
  }
  /// Clamped to the range first.
  BEV_HD double metres(double x, int coordinate) const {
    if (!active) return x;
    const double clamped = x < -1 ? -1 : x > 1 ? 1 : x;
    return (clamped + 1) / 2 * (high[coordinate] - low[coordinate]) + low[coordinate];
  }
};

enum class DiffusionTarget : uint8_t { noise, signal, velocity };

template <class T>
struct AddNoise {
  using Element = T;
  const T *actions, *noise;  // [samples, values], metres and standard normal
  const int64_t* times;      // [samples]
  const T *signal, *spread;  // sqrt(abar) and sqrt(1 - abar), by time
  T *noisy, *target;         // [samples, values]
  ActionRange range;
  int64_t values;
  DiffusionTarget kind;

  BEV_HD void operator()(int64_t i) const {
    const int64_t time = times[i / values];
    const T keep = signal[time], add = spread[time];
    const T x0 = static_cast<T>(range.normalised(static_cast<double>(actions[i]), static_cast<int>(i % 2)));
    noisy[i] = keep * x0 + add * noise[i];
    target[i] = kind == DiffusionTarget::noise    ? noise[i]
                : kind == DiffusionTarget::signal ? x0
                                                  : keep * noise[i] - add * x0;
  }
  double bytes(int64_t n) const { return 4.0 * sizeof(T) * static_cast<double>(n); }
};

/// loss = mean((prediction - target)^2); one row of the launch, of `n` elements.
template <class T>
struct MeanSquaredError {
  using Element = T;
  const T *prediction, *target;
  T* loss;  // [1]
  int64_t n;

  template <class Team>
  BEV_HD void operator()(Team team, int64_t) const {
    const T sum = team.template sum<T>(n, [&](int64_t i) {
      const T error = prediction[i] - target[i];
      return error * error;
    });
    if (team.leader()) *loss = sum / static_cast<T>(n);
  }
  double bytes(int64_t) const { return 2.0 * sizeof(T) * static_cast<double>(n); }
};

template <class T>
struct MeanSquaredErrorBackward {
  using Element = T;
  const T *prediction, *target, *d_loss;
  T* d_prediction;
  int64_t n;
  bool accumulate;

  BEV_HD void operator()(int64_t i) const {
    const T d = *d_loss * 2 / static_cast<T>(n) * (prediction[i] - target[i]);
    d_prediction[i] = accumulate ? d_prediction[i] + d : d;
  }
  double bytes(int64_t elements) const { return (accumulate ? 4.0 : 3.0) * sizeof(T) * static_cast<double>(elements); }
};

/// One sampling step in place; see model/noise_schedule.h for the coefficients. `noise` is null where none is added.
template <class T>
struct SamplingStep {
  using Element = T;
  const T *prediction, *noise;
  T* x;
  T x0_from_x, x0_from_prediction, next_from_x0, next_from_x, deviation;
  bool clip;

  BEV_HD void operator()(int64_t i) const {
    T x0 = x0_from_x * x[i] + x0_from_prediction * prediction[i];
    if (clip) x0 = x0 < T(-1) ? T(-1) : x0 > T(1) ? T(1) : x0;
    const T next = next_from_x0 * x0 + next_from_x * x[i];
    x[i] = noise ? next + deviation * noise[i] : next;
  }
  double bytes(int64_t n) const { return (noise ? 4.0 : 3.0) * sizeof(T) * static_cast<double>(n); }
};

/// Trajectories in metres from the model's units.
template <class T>
struct ToMetres {
  using Element = T;
  const T* x;
  T* metres;
  ActionRange range;

  BEV_HD void operator()(int64_t i) const {
    metres[i] = static_cast<T>(range.metres(static_cast<double>(x[i]), static_cast<int>(i % 2)));
  }
  double bytes(int64_t n) const { return 2.0 * sizeof(T) * static_cast<double>(n); }
};

}  // namespace bev
