// A whole run of bev_train: data sets, replicas with their threads and communicators, the training loop on each, and
// what a person sees of it. The parts are elsewhere; here they are put together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/worker_pool.h"
#include "model/policy_task.h"
#include "runtime/distributed/replica_group.h"
#include "runtime/train/trainer.h"
#include "tools/common/devices.h"
#include "tools/common/run_config.h"

namespace bev {

struct TrainingRequest {
  DeviceChoice devices;
  std::string resume;     // a checkpoint directory; empty: from the start
  int64_t max_steps = 0;  // 0: all epochs
  bool profile = false;
};

class TrainingRun {
 public:
  /// Opens the data sets and fits the configuration to them, which must outlive the run. Throws Error as they do.
  TrainingRun(ConfiguredRun& run, const TrainingRequest& request);

  const Dataset& training_set() const { return *train_; }
  const Dataset& validation_set() const { return *validation_; }
  std::shared_ptr<const Dataset> validation_set_handle() const { return validation_; }
  int64_t micro_batch() const { return micro_batch_; }
  int64_t global_batch() const {
    return micro_batch_ * request_.devices.replicas() * run_.config.training.accumulation;
  }
  double learning_rate() const;

  /// Trains; returns when all replicas have ended. `hooks` are called on replica 0's thread, `observer` there too.
  TrainingOutcome run(StopRequest& stop, const TrainerHooks& hooks, const ValidationObserver& observer);

 private:
  TrainingOutcome run_replica(ReplicaGroup& group, int rank, StopRequest& stop, const TrainerHooks& hooks,
                              const ValidationObserver& observer);
  TrainerConfig trainer_config() const;
  ReplicaConfig replica_config() const;
  void load_pretrained(Replica& replica) const;

  ConfiguredRun& run_;
  TrainingRequest request_;
  std::shared_ptr<const Dataset> train_, validation_;
  std::vector<double> mean_trajectory_;
  int64_t micro_batch_;
  std::shared_ptr<WorkerPool> pool_;
  std::shared_ptr<Rendezvous> gradients_;
};

}  // namespace bev
