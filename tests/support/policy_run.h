// A few optimiser steps of a tiny policy on one replica or on several in threads, made of the parts that training is
// made of: PolicyTask, Replica, TrainingStep, communicators. What comes out is all that the number of replicas could
// change.
#pragma once

#include <vector>

#include "model/policy_config.h"
#include "runtime/dtype.h"
#include "runtime/train/optimizer.h"
#include "tests/support/evaluation.h"

namespace bev::test {

/// A policy of few parameters that has all that a policy has: both token sets, layers of condition and decoder, dropout
/// of both kinds; in raster mode a backbone, its batch norm synchronised over replicas.
PolicyConfig tiny_policy(BevMode mode);

struct PolicyRun {
  PolicyConfig policy;
  DType dtype = DType::f64;
  int replicas = 1;
  int64_t accumulation = 1;
  bool sharded = false;
  OptimizerConfig optimizer = {};
  double learning_rate = 1e-3;
  int64_t global_batch = 24, steps = 10;
};

struct PolicyOutcome {
  std::vector<NamedNumbers> steps;      // "losses" and "gradient norms", by step
  std::vector<NamedNumbers> gradients;  // of the last step, not clipped
  std::vector<NamedNumbers> weights, averages, statistics;
  bool operator==(const PolicyOutcome&) const = default;  // to the last bit
};

/// Samples are functions of their place in the run, noise with the same rasters and tokens for all, so that there is
/// something to learn. Replicas that end with different bits are a failed check.
PolicyOutcome run_policy(const PolicyRun& run);

}  // namespace bev::test
