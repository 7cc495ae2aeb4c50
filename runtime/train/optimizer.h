// The optimiser of one replica: AdamW with clipping by global norm and an exponential moving average of the weights, in
// one pass over the flat spans of a ParameterStore (kernels/adamw.h). A step whose loss or gradient is not finite
// changes nothing but a counter. Nothing is decided on the host and nothing waits for the device, so step() is part of
// the fixed program of a training step.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/adamw.h"
#include "runtime/context.h"
#include "runtime/device.h"

namespace bev {

struct OptimizerConfig {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 1e-5;
  bool decay_norm_and_bias = true;  // false: parameters of one dimension are not decayed
  double max_gradient_norm = 1;     // 0: no clipping
  // decay(n) = clamp(1 - (1 + (n - update_after_step - 1) / inv_gamma)^(-power), min, max), 0 while that inner step is
  // <= 0; n counts updates from 0.
  double ema_inv_gamma = 1, ema_power = 0.75, ema_min = 0, ema_max = 0.9999;
  int64_t ema_update_after_step = 0;
};

class Optimizer {
 public:
  /// For an allocated store, whose arena gives the moments and averages (three spans like the weights) too. Moments
  /// start at zero and averages as the weights are now. `context.stream` may be dry. All must outlive the optimiser.
  Optimizer(ParameterStore& store, Context& context, Device& device, const OptimizerConfig& config);

  /// From the complete gradients and the learning rate in the context's StepState to new weights: measure(), decide(),
  /// apply().
  void step() {
    measure();
    decide();
    apply();
  }
  /// The sum of squares of all gradients, into UpdateState::squared_norm.
  void measure();
  /// What the step does, from UpdateState::loss and squared_norm, which may have been summed over replicas meanwhile.
  void decide();
  /// AdamW and the average on all weights; running statistics restored if the step is skipped.
  void apply();

  /// To be called when running statistics were written from outside (loaded, averaged over replicas): they are what a
  /// skipped step goes back to.
  void keep_statistics();
  /// Averages start anew from the weights as they are now (after weights were loaded without an optimiser's state).
  void restart_average();
  /// While on, the parameters' values are the averaged weights (running statistics are those of training, which is what
  /// the average of a copied buffer is). Nothing is copied. Off again before the next step.
  void use_average(bool on);

  const OptimizerConfig& config() const { return config_; }
  /// In device memory.
  UpdateState* update() const { return static_cast<UpdateState*>(update_.raw()); }
  const Tensor& update_bytes() const { return update_; }
  /// Spans in the layout of ParameterStore::trained_values(), in device memory; for checkpoints and tests.
  const Tensor& first_moments() const { return first_; }
  const Tensor& second_moments() const { return second_; }
  const Tensor& averages() const { return averages_; }

 private:
  Tensor make_segments(const std::vector<Segment>& segments);

  ParameterStore& store_;
  Context& context_;
  Device& device_;
  OptimizerConfig config_;
  int64_t segment_count_ = 0, buffer_segment_count_ = 0;
  Tensor segments_, buffer_segments_;  // Segment[], as bytes
  Tensor first_, second_, averages_, sums_, buffer_copies_, update_;
};

}  // namespace bev
