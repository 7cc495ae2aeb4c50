// The optimiser of one replica: AdamW with clipping by global norm and an exponential moving average of the weights, in
// one pass over the flat spans of a ParameterStore (kernels/adamw.h). A step whose loss or gradient is not finite
// changes nothing but a counter. Nothing is decided on the host and nothing waits for the device, so step() is part of
// the fixed program of a training step.
//
// Sharded, a replica keeps moments and averages only of the weights it owns, moves those, and everybody receives the
// rest from whoever owns it (Rajbhandari et al. 2020, stage 1 and the reduce-scatter of stage 2). Where whole spans are
// needed then, for validation and checkpoints, they are gathered into the memory of the gradients.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/adamw.h"
#include "runtime/context.h"
#include "runtime/device.h"
#include "runtime/distributed/reducer.h"

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

/// What a sharded optimiser shares with the other replicas; a null reducer, or one that does not shard: nothing.
struct OptimizerShards {
  GradientReducer* reducer = nullptr;
  Communicator* communicator = nullptr;  // over the device's memory
  bool sharded() const { return reducer && reducer->sharded(); }
};

class Optimizer {
 public:
  /// For an allocated store, whose arena gives the moments and averages too. Moments start at zero and averages as the
  /// weights are now. `context.stream` may be dry. All must outlive the optimiser. Sharded, every function marked
  /// collective is to be called by all replicas alike.
  Optimizer(ParameterStore& store, Context& context, Device& device, const OptimizerConfig& config,
            OptimizerShards shards = {});

  /// From the complete gradients and the learning rate in the context's StepState to new weights: measure(), decide(),
  /// apply(). Collective.
  void step() {
    measure();
    decide();
    apply();
  }
  /// The sum of squares of all gradients, into UpdateState::squared_norm. Collective.
  void measure();
  /// What the step does, from UpdateState::loss and squared_norm.
  void decide();
  /// AdamW and the average on all weights; running statistics restored if the step is skipped. Collective.
  void apply();

  /// Running statistics were written from outside (loaded, averaged over replicas): they are what a skipped step goes
  /// back to.
  void keep_statistics();
  /// Weights and statistics were loaded without an optimiser's state: averages start anew from them.
  void restart_average();
  /// While on, the parameters' values are the averaged weights (running statistics are those of training, which is what
  /// the average of a copied buffer is). Nothing is copied unless the optimiser is sharded. Off again before the next
  /// step. Collective.
  void use_average(bool on);

  const OptimizerConfig& config() const { return config_; }
  /// In device memory.
  UpdateState* update() const { return static_cast<UpdateState*>(update_.raw()); }
  const Tensor& update_bytes() const { return update_; }

  enum class Kind : uint8_t { first_moment, second_moment, average };
  /// A span laid out as ParameterStore::trained_values(). Sharded it lies in the gradients' memory and is valid until
  /// the next call of this class; then end_whole(). Collective.
  Tensor whole(Kind kind);
  /// The span to fill, laid out likewise, and what makes it this replica's state: adopt_whole().
  Tensor whole_to_fill(Kind kind) const { return sharded() ? store_.trained_gradients() : state(kind); }
  void adopt_whole(Kind kind);
  /// The gradients' memory holds gradients again: zeros.
  void end_whole();
  bool sharded() const { return shards_.sharded(); }

 private:
  Tensor make_segments(const std::vector<Segment>& segments);
  template <class Copy>
  void for_each_owned(const Copy& copy) const;
  const Tensor& state(Kind kind) const;

  ParameterStore& store_;
  Context& context_;
  Device& device_;
  OptimizerConfig config_;
  OptimizerShards shards_;
  std::vector<FlatSpan> owned_;  // of the store's spans; behind one another in moments and averages
  int64_t segment_count_ = 0, counted_segment_count_ = 0, buffer_segment_count_ = 0;
  Tensor segments_, counted_segments_, buffer_segments_;  // Segment[], as bytes
  Tensor first_, second_, averages_, sums_, replica_sums_, buffer_copies_, update_;
};

}  // namespace bev
