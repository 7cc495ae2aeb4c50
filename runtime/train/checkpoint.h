// Checkpoints: all that training needs to go on as if it had never stopped. One directory a step,
//   step_00000040/  model.safetensors      parameters and running statistics
//                   ema.safetensors        averaged parameters, the same statistics
//                   optimizer.safetensors  first.NAME and second.NAME
//                   state.json             position, counters, configuration, and of each file its size and CRC-32
// written beside its place, flushed to disk and renamed: it is there whole or not at all. state.json is written last
// and is the commit record. Beside the directories the links `last` and `best` name one each.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "runtime/train/optimizer.h"
#include "runtime/train/weights_file.h"

namespace bev {

/// Where training stands, and what else must be the same when it goes on.
struct TrainingState {
  int64_t step = 0;  // optimiser steps done
  int64_t steps_an_epoch = 0, global_batch = 0;
  uint64_t seed = 0;
  // The best validation so far; step -1: none yet.
  std::string best_metric;
  double best_value = std::numeric_limits<double>::quiet_NaN();
  int64_t best_step = -1;
  int64_t validations_without_best = 0;
  std::string configuration;  // the resolved one, as text

  int64_t epoch() const { return steps_an_epoch > 0 ? step / steps_an_epoch : 0; }
};

/// What of a replica checkpoints hold.
struct TrainedModel {
  Device& device;
  Context& context;
  const ParameterStore& store;
  Optimizer& optimizer;
};

using Notes = std::function<void(const std::string&)>;  // one line each, for the user

class CheckpointFolder {
 public:
  /// Creates the directory if it is not there. `keep` >= 1 checkpoints stay, beside those that `last` and `best` name.
  CheckpointFolder(std::string path, int64_t keep, FileNames names = {});

  /// On replica 0, while the others join_checkpoint(). Writes the checkpoint of `state.step`, points `last` to it (and
  /// `best`, if it is that), and then deletes those no longer kept. Returns its path. Throws Error(runtime) naming file
  /// and reason, a full disk for one: then nothing is there of it, and what was there before is as it was.
  std::string write(const TrainedModel& model, const TrainingState& state, bool is_best);

  /// The checkpoint written last, or else the newest, all of whose files are as they were written; empty if there is
  /// none. `notes` hears of each that is passed over, and why.
  static std::string newest_valid(const std::string& path, const Notes& notes);

 private:
  void prune() const;

  std::string path_;
  int64_t keep_;
  FileNames names_;
};

/// What the other replicas do while replica 0 writes: a sharded optimiser gives its parts.
void join_checkpoint(Optimizer& optimizer);

/// The state.json of a checkpoint directory. Throws Error(data) naming what is wrong with it.
TrainingState read_training_state(const std::string& checkpoint);

/// Checks that all files are there with the sizes and checksums that they were written with. Throws Error(data) naming
/// the first that is not.
void verify_checkpoint(const std::string& checkpoint);

/// Verifies and loads a checkpoint into the model, all of it, and returns its state. Throws Error(data) if it is
/// damaged or of another model.
TrainingState load_checkpoint(const std::string& checkpoint, const TrainedModel& model, const FileNames& names);

}  // namespace bev
