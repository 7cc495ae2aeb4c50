// What all measurements run on: a replica made as training makes it, with random batches in the place of a data set.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/policy.h"
#include "runtime/replica.h"
#include "tools/bench/random_batches.h"
#include "tools/common/batch_fields.h"
#include "tools/common/run_config.h"

namespace bev {

struct BenchCase {
  RunConfig run;
  std::string device = "cpu";
  int64_t batch = 8;
  bool floating_raster = false;  // rasters as numbers instead of bytes
  uint64_t seed() const { return static_cast<uint64_t>(run.training.seed); }
  std::vector<FieldSpec> fields() const { return fields_of(run.policy, DType::f32, floating_raster); }
};

/// "cpu" or "cuda:N". Throws Error(usage) for anything else, and as make_cuda_device().
std::unique_ptr<Device> make_bench_device(const std::string& text, const RunConfig& run);

/// A task of the policy in a store.
std::unique_ptr<Task> make_policy_task(ParameterStore& store, const RunConfig& run, Device& device);

/// Calls body on the thread of the one replica of a group; returns when it has. Throws what body throws, in the words
/// of ReplicaGroup.
void with_replica(const BenchCase& bench, const std::function<void(Replica&)>& body);

/// What a batch with the fields of fields_of() lets the policy observe.
Observation observation_of(const Batch& batch, const PolicyConfig& policy);

/// Two batches in turn, in memory that the device copies from.
std::unique_ptr<RandomBatches> make_batches(const BenchCase& bench, Replica& replica);

}  // namespace bev
