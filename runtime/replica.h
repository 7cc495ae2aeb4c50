// One replica of the training: a device, and all that belongs to it and to nobody else: streams, libraries, memory,
// parameters, optimiser, the task, and its ends of the communicators. One thread a replica, from construction to
// destruction; nothing here is shared.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/distributed/communicator.h"
#include "runtime/distributed/reducer.h"
#include "runtime/recorder.h"
#include "runtime/train/inputs.h"
#include "runtime/train/memory_plan.h"

namespace bev {

/// What a replica is made of. Its communicators reach all replicas; with one replica alone they are of size 1.
struct ReplicaParts {
  std::unique_ptr<Device> device = nullptr;
  std::shared_ptr<Communicator> gradients = nullptr;  // over the device's memory
  Communicator* host = nullptr;                       // over host memory; outlives the replica
  Activity* activity = nullptr;                       // told which op runs, or null; outlives the replica
};

struct ReplicaConfig {
  DType dtype = DType::f32;  // what the model computes in: f64 on the CPU only
  int64_t micro_batch = 1;   // samples
  bool accumulates = false;  // whether a step has several micro-batches, whose gradients are added up
  uint64_t seed = 42;        // of first values and of all that is drawn in training
  OptimizerConfig optimizer = {};
  ReducerConfig reducer = {};
  bool graph = false;       // repeat recorded steps where the device can (train/step_graph.h)
  double memory_share = 1;  // of the device's free memory that this replica may take: below 1 where several share it
};

/// Bytes that the plan of a replica may need where `free` are, of which it may take `share`: libraries load more code
/// later, and small things that no plan knows take some.
size_t room_for_a_plan(size_t free, double share = 1);

class Replica {
 public:
  /// Builds a replica's task, which declares its parameters in the store.
  using MakeTask = std::function<std::unique_ptr<Task>(ParameterStore& store)>;

  /// Plans memory by a dry run, takes it, and gives parameters their first values, which are replica 0's. Throws
  /// OutOfMemory, with a table of what takes what and the largest micro-batch that fits, before anything is taken.
  /// All replicas construct theirs at the same time: it is a collective.
  Replica(ReplicaParts parts, const MakeTask& make_task, const std::vector<FieldSpec>& fields,
          const ReplicaConfig& config);
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  int rank() const { return gradients().rank(); }
  int size() const { return gradients().size(); }
  const ReplicaConfig& config() const { return config_; }
  const MemoryPlan& memory() const { return plan_; }

  Device& device() const { return *parts_.device; }
  Communicator& gradients() const { return *parts_.gradients; }
  Communicator& host() const { return *parts_.host; }
  Activity* activity() const { return parts_.activity; }
  /// The StepState in device memory that kernels read.
  StepState* state() const { return static_cast<StepState*>(state_.get()); }
  Context& context() const { return *context_; }
  /// Records what is put on the context's stream, and keeps gradients(), the one communicator that is used within a
  /// step, in place.
  Recorder& recorder() const { return *recorder_; }
  ParameterStore& parameters() { return store_; }
  Task& task() const { return *task_; }
  Optimizer& optimizer() const { return *optimizer_; }
  GradientReducer& reducer() const { return *reducer_; }
  Inputs& inputs() const { return *inputs_; }

 private:
  std::shared_ptr<Arena> make_arena() const;
  /// Forward, backward (where a step accumulates also one that adds to gradients) and a validation batch on zeros,
  /// before parameters get their values: libraries time their algorithms, load their code and take workspaces here,
  /// since any of that, while a collective waits for another replica, can hang all.
  void warm_up(const std::vector<FieldSpec>& fields);

  std::unique_ptr<Recorder> recorder_;
  ReplicaParts parts_;
  ReplicaConfig config_;
  ParameterStore store_;
  std::unique_ptr<Task> task_;
  MemoryPlan plan_;
  std::shared_ptr<void> state_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<GradientReducer> reducer_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Inputs> inputs_;
};

}  // namespace bev
