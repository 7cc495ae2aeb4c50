// Evaluating checkpoints: the validation metrics of their averaged weights, with parts of the input hidden, and how
// fast trajectories are sampled.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "model/policy_task.h"
#include "runtime/replica.h"
#include "tools/common/devices.h"
#include "tools/common/run_config.h"

namespace bev {

/// What the policy is not shown.
enum class Ablation : uint8_t { none, bev, vl };
Ablation ablation_of(const std::string& name);  // throws Error(usage) listing the names
const char* name_of(Ablation ablation);

/// The checkpoint that a path names: itself, or a run's `best`, or else its newest. Throws Error(data) if there is
/// none.
std::string checkpoint_of(const std::string& path);

class Evaluation {
 public:
  /// Builds the policy of the checkpoint's own configuration, changed by `overrides`, on the first of the chosen
  /// devices, loads its averaged weights and hands it to `body`, on a thread of its own. Throws Error as the parts do.
  static void run(const std::string& checkpoint, const std::vector<std::string>& overrides, const DeviceChoice& devices,
                  const std::function<void(Evaluation&)>& body);

  const RunConfig& config() const { return run_.config; }
  /// Metrics over the validation set, or over `most` of it, evenly spread (0: all).
  MetricSums metrics(Ablation ablation, int64_t most);

  struct Speed {
    double latency_ms = 0;               // of a single trajectory
    double trajectories_per_second = 0;  // in batches
  };
  /// Sampling with so many steps: medians over a few repeats.
  Speed sampling_speed(int64_t steps, int64_t batch);

  /// Writes the averaged weights under MoT-DP's names, with what it repeats.
  void export_weights(const std::string& path);

 private:
  Evaluation(ConfiguredRun& run, std::shared_ptr<const Dataset> validation, Replica& replica, PolicyTask& task,
             ValidationOptions options)
      : run_(run), validation_(std::move(validation)), replica_(replica), task_(task), options_(std::move(options)) {}
  double sampling_seconds(int64_t steps, int64_t batch);

  ConfiguredRun& run_;
  std::shared_ptr<const Dataset> validation_;
  Replica& replica_;
  PolicyTask& task_;
  ValidationOptions options_;
};

}  // namespace bev
