// Everything that changes from step to step, in one small struct in device memory that kernels read. Nothing of it is
// ever baked into a launch, so that a step is the same program every time and can be captured once and replayed.
#pragma once

#include <cstdint>

namespace bev {

struct StepState {
  uint64_t seed = 0;          // of the run
  int64_t step = 0;           // optimiser steps done before this one
  int64_t sample_offset = 0;  // position, within the global batch, of this micro-batch's first sample
  float learning_rate = 0;
  float gradient_scale =
      1;  // the loss gradient's factor: 1 / (replicas * micro-batches) if the loss is a mean over a micro-batch
  float ema_decay = 0;
  float bias_correction1 = 1;  // 1 - beta1^(step + 1)
  float bias_correction2 = 1;
  uint32_t skip_update = 0;  // 1: gradients are not finite, leave the weights alone
};

}  // namespace bev
