// The training loop of one replica: epochs, validation, checkpoints, metrics, and when to end. It runs on every
// replica's thread with the same decisions at the same steps, since all of them follow from step numbers and from sums
// over replicas. Replica 0 writes files and speaks to the outside. What happens within a step: training_step.h.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/distributed/agreement.h"
#include "runtime/distributed/reduction_check.h"
#include "runtime/replica.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/meter.h"
#include "runtime/train/metrics_log.h"
#include "runtime/train/schedule.h"
#include "runtime/train/step_profile.h"
#include "runtime/train/stop_request.h"
#include "runtime/train/training_step.h"

namespace bev {

/// What to do about a step whose loss or gradient is not finite. It never touches the weights.
enum class NonFinitePolicy : uint8_t { stop, skip };

struct TrainerConfig {
  std::string folder;         // for checkpoints and metrics.jsonl
  std::string configuration;  // the resolved one, as text: kept in checkpoints
  int64_t epochs = 1;
  int64_t max_steps = 0;  // end after so many optimiser steps in all; 0: after the last epoch
  int64_t accumulation = 1;
  Schedule schedule;  // total_steps is set here: all epochs, whatever max_steps says
  // How often; 0: never. Training ends with a validation and a checkpoint in any case.
  int64_t validate_epochs = 1, save_epochs = 1, save_steps = 0, log_steps = 10, agreement_steps = 500;
  int64_t keep_checkpoints = 3;
  std::string best_metric = "L2_avg";  // lower is better
  int64_t patience = 0;                // validations without a better one before training ends; 0: any number
  NonFinitePolicy on_nonfinite = NonFinitePolicy::stop;
  int64_t skips_at_most = 100;
  // Time the parts of steps and their communication, and say at the end where the time went. Graphs are not used then.
  bool profile = false;
};

struct Progress {
  int64_t step = 0, steps = 0, epoch = 0, epochs = 0;  // done, in all; the epoch under way counts from 1
  double loss = 0;                                     // mean over the steps since the last report
  double learning_rate = 0, gradient_norm = 0;         // of the last step
  double samples_per_second = 0, waiting_share = 0;    // since the last report; waiting for data
  double seconds_left = 0;
  int64_t skipped = 0;
};

struct ValidationReport {
  int64_t step = 0, epoch = 0;
  std::vector<std::pair<std::string, double>> metrics = {};  // means
  double seconds = 0;
  bool is_best = false;
};

/// Called on replica 0's thread, where set.
struct TrainerHooks {
  std::function<void(const Progress&)> progress;
  std::function<void(const ValidationReport&)> validated;
  std::function<void(const std::string& checkpoint)> saved;
  Notes note = [](const std::string&) {};
};

struct TrainingOutcome {
  enum class End : uint8_t { complete, early, asked };  // all steps done; patience ran out; StopRequest
  End end = End::complete;
  TrainingState state;
};

class Trainer {
 public:
  /// `validation` may be null. All outlive the trainer. Throws Error(usage) where the settings cannot be met.
  Trainer(Replica& replica, BatchSource& source, ValidationSource* validation, const TrainerConfig& config,
          const FileNames& names, TrainerHooks hooks, StopRequest& stop);

  /// Goes on from a checkpoint instead of from the start. On every replica. Throws Error(data) if it is damaged or of
  /// another model, Error(usage) if seed or batches are others now.
  void resume(const std::string& checkpoint);

  /// Trains to the end. On every replica. Where it throws, gradients() has been aborted.
  TrainingOutcome run();

 private:
  TrainingOutcome train();
  bool validates_after(int64_t step) const;
  bool saves_after(int64_t step) const;
  bool checks_gradients_after(int64_t step) const;
  bool every(int64_t steps, int64_t done) const { return steps > 0 && done % steps == 0; }
  int64_t steps_in_all() const;

  void collect();
  void drain();
  void account(const StepOutcome& outcome);
  void account_skipped(const StepOutcome& outcome);
  void report(const StepOutcome& outcome);
  void settle_statistics();
  void check_agreement();
  void check_step();
  void run_validation();
  void save();
  void report_profile();
  bool out_of_patience() const;
  bool is_first() const { return replica_.rank() == 0; }

  Replica& replica_;
  BatchSource& source_;
  ValidationSource* validation_;
  TrainerConfig config_;
  FileNames names_;
  TrainerHooks hooks_;
  StopRequest& stop_;
  Share share_;
  TrainingStep step_;
  std::unique_ptr<StepProfile> profile_;  // where it is wanted
  TrainingState state_;
  Meter meter_;
  std::unique_ptr<ReplicaAgreement> agreement_;      // where there are several
  std::unique_ptr<ReductionCheck> reduction_check_;  // likewise
  std::vector<SharedNumber> last_numbers_;           // of the step collected last
  std::unique_ptr<CheckpointFolder> checkpoints_;
  std::unique_ptr<MetricsLog> log_;
  int64_t saved_step_ = -1;  // the last that was
  int64_t first_step_ = 0;   // done when run() began
};

}  // namespace bev
