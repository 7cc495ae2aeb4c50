// What a training step asks of a machine, counted and not measured: work by part, when each gradient is complete, and
// memory by purpose. From the same dry run by which training plans its memory.
#pragma once

#include "runtime/train/memory_plan.h"
#include "tools/bench/bench_replica.h"
#include "tools/bench/scaling_model.h"

namespace bev {

/// Bytes, in float32.
struct MemoryParts {
  size_t weights = 0, gradients = 0, moments = 0, averages = 0, other_kept = 0;
  size_t activations = 0;  // held between forward and backward
  size_t transient = 0;    // what the worst moment needs beyond those: gradients of activations, workspaces
  size_t extent = 0;       // what an arena must have
};

struct DryStep {
  StepWork work;
  MemoryParts memory;
  MemoryPlan plan;
};

/// `device` is asked for its libraries only; nothing is computed.
DryStep dry_step(const BenchCase& bench, Device& device);

/// The largest batch whose step needs at most `limit` bytes; 0 if none does.
int64_t largest_batch(const BenchCase& bench, Device& device, size_t limit);

}  // namespace bev
