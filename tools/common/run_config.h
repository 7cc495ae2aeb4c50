// Everything a run can be told, typed, with its defaults. The YAML keys, what each means, and which of the reference's
// keys are translated or refused: run_config.cpp. `bev_train --print-config` prints it all.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/noise_schedule.h"
#include "model/policy_config.h"
#include "runtime/matmul.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/schedule.h"
#include "runtime/train/trainer.h"
#include "tools/common/settings.h"

namespace bev {

struct DataConfig {
  std::string dataset_path = "datasets/town";  // holds train/ and val/
  std::optional<int64_t> batch_size;           // samples a replica and micro-step; 32 unless the global one is given
  int64_t workers = 2, prefetch = 2;           // loader threads in all, batches ahead
  bool shuffle = true;
  int64_t sample_interval = 1;  // every n-th training sample
};

struct TrainingConfig {
  int64_t epochs = 1000;
  std::optional<int64_t> global_batch_size;  // samples an optimiser step: divided among replicas and micro-steps
  int64_t accumulation = 1;
  int64_t seed = 42;
  int64_t validation_freq = 5, save_freq = 5;  // epochs
  int64_t save_steps = 0;                      // a checkpoint every so many steps as well; 0: not
  int64_t early_stopping_patience = 0;         // validations without a better L2_avg; 0: never stops early
  int64_t keep_checkpoints = 3;
  std::string checkpoint_dir = "runs/default";
  NonFinitePolicy on_nonfinite = NonFinitePolicy::stop;
  int64_t nonfinite_skips_at_most = 100;
  double collective_timeout_s = 600;
  int64_t agreement_freq = 500;  // steps between comparisons of the replicas' weights
  int64_t log_freq = 10;         // steps between lines
  int64_t pictures = 4;          // validation pictures kept each time
};

struct RuntimeConfig {
  Precision precision = Precision::tf32;
  bool bf16_where_it_gains = false;  // bf16 is what use_mixed_precision asked for, and no more than that
  std::string autotune_cache = "runs/autotune";
  double bucket_mib = 25;  // of gradients in one reduction
  bool cuda_graph = true;  // where the device can
  bool shard_optimizer = false;
};

struct RunConfig {
  std::vector<int> gpu_ids = {0};
  DataConfig data;
  PolicyConfig policy;
  std::string pretrained_backbone;  // safetensors of obs_encoder weights; empty: none
  Augmentation augmentation;
  bool augment = false;
  OptimizerConfig optimizer;
  ScheduleKind schedule = ScheduleKind::cosine;
  std::array<double, 2> betas = {0.9, 0.999};
  double learning_rate = 5e-5, final_learning_rate = 1e-7;
  int64_t warmup_steps = 0;
  bool mixed_precision = false;
  RateScaling rate_scaling = RateScaling::none;
  TrainingConfig training;
  RuntimeConfig runtime;
  int64_t inference_steps = 100;
  SamplerKind sampler = SamplerKind::ddpm;
  bool action_range_given = false;  // else the data set's
  std::string run_name;             // for the run's record
};

/// Samples a replica and micro-step: as configured, or the replicas' equal share of the global batch. Throws
/// Error(usage) if the two contradict each other or the shares are not equal.
int64_t micro_batch(const RunConfig& config, int replicas);

/// A configuration with the table it is read by. Not copyable: the table points into it.
class ConfiguredRun {
 public:
  ConfiguredRun();
  ConfiguredRun(const ConfiguredRun&) = delete;
  ConfiguredRun& operator=(const ConfiguredRun&) = delete;

  RunConfig config;
  Settings settings;

  /// Settles what depends on several keys and checks what no single key shows. Call after reading. Throws Error(usage).
  void finish();
};

/// Reads `path` (empty: defaults) and the overrides, in that order, and finishes.
std::unique_ptr<ConfiguredRun> load_run(const std::string& path, const std::vector<std::string>& overrides);

}  // namespace bev
