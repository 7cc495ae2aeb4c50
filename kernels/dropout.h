// Dropout (Srivastava et al. 2014), inverted form: an element is kept with probability 1 - p and scaled by 1/(1 - p).
//
// Whether it is kept is a function of (seed, place in the model, step, sample within the global batch, element within
// the sample) alone. So masks are never stored, the backward pass draws the same ones again, and a run gives the same
// masks on CPU and GPU, with any number of replicas, and after a resume. Elements are drawn in groups of four; rows
// whose width is no multiple of four start a new group each.
#pragma once

#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/philox.h"
#include "kernels/step_state.h"

namespace bev {

template <class T>
struct DropoutMask {
  const StepState* state = nullptr;  // null: nothing is dropped
  uint32_t place = 0;
  uint32_t threshold = 0;  // dropped iff the 32 random bits are below it
  T scale = 1;

  DropoutMask() = default;
  DropoutMask(const StepState* step_state, uint32_t random_place, double p)
      : state(p > 0 ? step_state : nullptr),
        place(random_place),
        threshold(static_cast<uint32_t>(p * 4294967296.0)),
        scale(static_cast<T>(1 / (1 - p))) {}

  BEV_HD bool active() const { return state != nullptr; }

  struct Four {
    T factor[4];  // 0 or scale
  };
  /// Factors of elements 4 group .. 4 group + 3 of `sample` (its position in the micro-batch). Only where active().
  BEV_HD Four factors(int64_t sample, int64_t group) const {
    const Random4 bits =
        philox4x32(state->seed, static_cast<uint32_t>(group), static_cast<uint32_t>(state->sample_offset + sample),
                   place, static_cast<uint32_t>(state->step));
    const T kept = scale;  // read once: a load under a condition would keep loops over groups from vectorising
    Four out;
    for (int i = 0; i < 4; ++i) out.factor[i] = bits.word[i] < threshold ? T(0) : kept;
    return out;
  }
  /// The factor of one element.
  BEV_HD T factor(int64_t sample, int64_t element) const {
    const Random4 bits =
        philox4x32(state->seed, static_cast<uint32_t>(element / 4),
                   static_cast<uint32_t>(state->sample_offset + sample), place, static_cast<uint32_t>(state->step));
    return bits.word[element % 4] < threshold ? T(0) : scale;
  }
};

}  // namespace bev
