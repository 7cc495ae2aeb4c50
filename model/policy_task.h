// The policy as the training loop sees it: batches in, a loss or validation metrics out.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "model/policy.h"
#include "runtime/device.h"
#include "runtime/train/task.h"

namespace bev {

struct ValidationOptions {
  SamplerKind sampler = SamplerKind::ddpm;
  int64_t inference_steps = 100;
  uint64_t seed = 0;
  std::vector<double> mean_trajectory = {};  // [H, 2] metres, over the training set; empty: no such baseline
  bool blank_bev = false, blank_vl = false;  // what the policy is not shown, to see whether it uses it
};

/// Sees every validated batch: the samples' numbers (-1: padding) and their sampled trajectories [B, H, 2] in metres.
using ValidationObserver = std::function<void(std::span<const int64_t> samples, std::span<const double> trajectories)>;

class PolicyTask : public Task {
 public:
  /// `device` outlives the task; validation copies results from it.
  PolicyTask(ParameterStore& store, const PolicyConfig& config, Device& device, const Augmentation& augmentation,
             const ValidationOptions& validation);

  Variable loss(Context& context, const Batch& batch) override;
  /// Adds `loss` (seeded times and noise), and for the policy (`L2_`), constant velocity (`cv_`) and, if given, the
  /// mean trajectory (`mean_`) the mean Euclidean distances in metres at 1, 2 and 3 s (index 1, 3 and 5) and their
  /// average, in all and apart for samples on which constant velocity is within 1 m at 3 s (`_near_cv`) and the others
  /// (`_far_cv`).
  void validate(Context& context, const Batch& batch, MetricSums& sums) override;

  /// Sampled trajectories [B, H, 2] of a batch in device memory, the model's units; the tape must not record.
  Tensor sample(Context& context, const Batch& batch, const std::vector<SamplerStep>& steps) const;

  /// Other options from the next validation on.
  void set_validation(const ValidationOptions& validation);
  void set_observer(ValidationObserver observer) { observer_ = std::move(observer); }
  const Policy& policy() const { return policy_; }

 private:
  Observation observe(Context& context, const Batch& batch) const;
  Tensor numbers_of(Context& context, const Batch& batch) const;
  Tensor sample(Context& context, const Observation& observation, const Tensor& numbers,
                const std::vector<SamplerStep>& steps) const;
  std::vector<double> download(Context& context, const Tensor& tensor) const;

  Policy policy_;
  Device& device_;
  Augmentation augmentation_;
  ValidationOptions validation_;
  std::vector<SamplerStep> steps_;
  ValidationObserver observer_;
};

}  // namespace bev
