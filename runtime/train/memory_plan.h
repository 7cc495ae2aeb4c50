// What training will ask of a device's memory, found out before anything is allocated by running a step in which
// nothing is computed: a dry stream, and an arena of address space alone. The same run tells the order in which
// backward finishes gradients, which is the order in which they are stored.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/device.h"
#include "runtime/train/optimizer.h"
#include "runtime/train/task.h"

namespace bev {

struct MemoryPlan {
  int64_t micro_batch = 0;           // samples
  std::vector<Parameter*> order;     // parameters with a gradient, as backward finishes them
  size_t kept = 0;                   // bytes held from step to step: weights, gradients, optimiser, inputs on a GPU
  size_t peak = 0;                   // bytes held at the worst moment of a step or of validation
  size_t extent = 0;                 // bytes an arena needs for it
  std::vector<Arena::Holding> held;  // at that moment, by part of the model, largest first
  WorkspaceReport convolutions;      // what they work in, which is part of the peak, and what they do without
  size_t activations = 0;            // bytes held at the end of a forward pass, beside what is kept
  WorkTally forward, backward, optimizer;  // of one micro-batch
  WorkTally work;                          // all three
  std::vector<WorkTally> gradient_work;    // of backward, up to where order[i] was complete

  /// A line each for the `rows` largest holdings, one for the rest, and the sum.
  std::string table(size_t rows = 24) const;
};

/// A device's libraries. They hold memory of their own, so a replica has one of each.
struct Engines {
  std::shared_ptr<MatmulEngine> matmul;
  std::shared_ptr<ConvolutionEngine> convolution;
};
Engines make_engines(Device& device, const Stream& stream);

/// Plans for batches of one shape on one device.
class MemoryPlanner {
 public:
  /// All must outlive the planner. `communicator` is asked for its size only. Without engines it makes its own.
  MemoryPlanner(Task& task, ParameterStore& store, Device& device, std::vector<FieldSpec> fields, DType dtype,
                const OptimizerConfig& optimizer, const ReducerConfig& reducer, Communicator& communicator,
                Engines engines = {});

  /// Runs a training step and a validation batch of so many samples dry. The store's tensors are those of the dry run
  /// afterwards, until it is allocated for real.
  MemoryPlan plan(int64_t micro_batch);

  /// The plan; where it needs more than `limit` bytes, one with less workspace for convolutions, which may be slower
  /// then, down to none.
  MemoryPlan leanest(int64_t micro_batch, size_t limit);

  /// The same; where it needs more even so throws OutOfMemory with the table, saying what is the largest micro-batch
  /// that fits.
  MemoryPlan plan_within(int64_t micro_batch, size_t limit);

 private:
  MemoryPlan dry_run(int64_t micro_batch, const std::vector<Parameter*>& order, bool with_table);
  int64_t largest_within(int64_t below, size_t limit);

  Task& task_;
  ParameterStore& store_;
  Device& device_;
  const std::vector<FieldSpec> fields_;
  const DType dtype_;
  const OptimizerConfig optimizer_;
  const ReducerConfig reducer_;
  Communicator& communicator_;
  Engines engines_;
  std::vector<Parameter*> order_;  // empty before the first plan
};

}  // namespace bev
