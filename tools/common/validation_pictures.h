// Pictures of a run: what some validation samples look like to the policy, with where it would go and where the expert
// went, and the curves of loss and error so far.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "runtime/train/trainer.h"

namespace bev {

class ValidationPictures {
 public:
  /// For `count` samples, spread over the first `share` of the set (replica 0 sees no others). Writes into
  /// FOLDER/pictures.
  ValidationPictures(std::shared_ptr<const Dataset> dataset, int64_t count, double share, std::string folder);

  /// Keeps the trajectories [B, H, 2], metres, of the samples to be drawn.
  void observe(std::span<const int64_t> samples, std::span<const double> trajectories);
  /// Draws what was observed since the last call: sample-NUMBER-step-STEP.png; and the curves from
  /// FOLDER/metrics.jsonl: loss.png, error.png. Throws Error(runtime) if a picture cannot be written.
  void draw(const ValidationReport& report);

 private:
  void draw_sample(int64_t sample, const std::vector<double>& trajectory, int64_t step) const;
  void draw_curves() const;

  std::shared_ptr<const Dataset> dataset_;
  std::string folder_;
  std::map<int64_t, std::vector<double>> trajectories_;  // by sample; empty until observed
};

}  // namespace bev
