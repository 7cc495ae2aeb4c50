// Everything that changes from step to step, in two small structs in device memory that kernels read. Nothing of it is
// ever baked into a launch, so that a step is the same program every time and can be captured once and replayed.
#pragma once

#include <cstdint>

namespace bev {

/// What the host says about a step; written before each micro-batch.
struct StepState {
  uint64_t seed = 0;          // of the run
  int64_t step = 0;           // optimiser steps done before this one
  int64_t micro = 0;          // micro-batches of this step done before this one
  int64_t sample_offset = 0;  // position, within the global batch, of this micro-batch's first sample
  double learning_rate = 0;
  // The loss gradient's factor: 1 / (replicas * micro-batches) if the loss is a mean over a micro-batch.
  double gradient_scale = 1;
};

/// What the device itself finds out about a step, from its loss and gradients. Only `updates` and `skipped` live on
/// from step to step.
struct UpdateState {
  double loss = 0;              // mean over the global batch
  double squared_norm = 0;      // of all gradients, before clipping
  double gradient_norm = 0;     // its root
  double clip = 1;              // factor of the gradients: min(1, max_norm / (norm + 1e-6))
  double bias_correction1 = 1;  // 1 - beta1^(updates + 1)
  double bias_correction2 = 1;
  double ema_decay = 0;
  int64_t bad_micro = -1;  // this replica's first micro-batch whose loss is not finite; -1: none
  int64_t updates = 0;     // of the weights, those of this step included once it is decided
  int64_t skipped = 0;     // steps whose loss or gradient was not finite
  uint32_t skip = 0;       // 1: this step is such a one, leave weights, moments and averages alone
};

}  // namespace bev
