// Some training steps of a small policy, on replicas of one device, and what they leave behind: for asking whether two
// ways of taking the same steps do the same to the bit.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/distributed/replica_group.h"
#include "runtime/distributed/statistics.h"
#include "runtime/train/training_step.h"
#include "runtime/transfer.h"
#include "tools/bench/bench_replica.h"

namespace bev::test {

struct PolicySteps {
  BevMode mode = BevMode::tokens;
  Precision precision = Precision::tf32;
  int64_t steps = 10, accumulation = 1, micro_batch = 2;
  int replicas = 1;
  bool graph = false, sharded = false;
  std::function<std::unique_ptr<Device>()> make_device = {};
  /// On the one replica, or on all of them, before each step.
  std::function<void(Replica&, int64_t step)> before_step = {};

  struct Outcome {
    std::vector<float> values;   // of replica 0: weights, averages, running statistics
    std::vector<double> losses;  // of each step
    std::string note;            // of replica 0, about graphs
  };

  Outcome run() const {
    Outcome out;
    ReplicaGroup group(replicas, {.threads = 1});
    const auto gradients = meet_by_threads(replicas, "gradients");
    group.run([&](int rank) { run_replica(group, gradients, rank, out); });
    return out;
  }

  int64_t fields() const { return std::ssize(bench().fields()); }

  static PolicyConfig policy(BevMode mode) {
    PolicyConfig config;
    config.mode = mode;
    config.bev_input_size = {64, 64};
    config.base_channels = 8;
    config.cells = mode == BevMode::raster ? config.grid_cells() : 4;
    config.sync_batch_norm = mode == BevMode::raster;
    config.vl_tokens = 12;
    config.vlm_dim = config.vl_emb_dim = 32;
    config.width = 64;
    config.heads = 4;
    config.layers = 3;
    config.condition_layers = 2;
    config.action_min = {-3, -40};
    config.action_max = {70, 40};
    return config;
  }

 private:
  BenchCase bench() const {
    BenchCase out;
    out.run.policy = policy(mode);
    out.batch = micro_batch;
    return out;
  }

  void run_replica(ReplicaGroup& group, const std::shared_ptr<Rendezvous>& gradients, int rank, Outcome& out) const {
    const BenchCase bench = this->bench();
    ReplicaParts parts{.device = make_device(), .host = &group.host(rank), .activity = &group.activity(rank)};
    Device& device = *parts.device;
    device.make_current();
    parts.gradients = group.connect(rank, gradients, device);
    const auto make_task = [&](ParameterStore& store) { return make_policy_task(store, bench.run, device); };
    Replica replica(std::move(parts), make_task, bench.fields(),
                    {.micro_batch = micro_batch,
                     .accumulates = accumulation > 1,
                     .reducer = {.bucket_bytes = 100000, .sharded = sharded},
                     .graph = graph,
                     .memory_share = 0.5 / replicas});
    CommunicatedStatistics sums(replica.gradients());
    replica.context().statistics = replicas > 1 ? &sums : nullptr;

    RandomBatches batches(bench.run.policy, bench.fields(), micro_batch, 7 + static_cast<uint64_t>(rank),
                          [&](size_t bytes) { return device.allocate_staging(bytes); });
    TrainingStep step(
        replica, batches,
        {.replica = rank, .replicas = replicas, .micro_batch = micro_batch, .accumulation = accumulation});
    std::vector<double> losses;
    for (int64_t i = 0; i < steps; ++i) {
      if (before_step) before_step(replica, i);
      step.enqueue(i, 1e-3);
      while (step.in_flight() > step.ahead()) losses.push_back(step.collect().loss);
    }
    while (step.in_flight() > 0) losses.push_back(step.collect().loss);
    const Tensor averages = replica.optimizer().whole(Optimizer::Kind::average);
    if (rank > 0) return;
    out.losses = losses;
    out.note = step.take_note();
    for (const Tensor& span : {replica.parameters().trained_values(), replica.parameters().other_values(), averages}) {
      if (!span.defined()) continue;
      const Tensor host = to_host(device, replica.context().stream, span);
      out.values.insert(out.values.end(), host.data<float>(), host.data<float>() + host.size());
    }
  }
};

}  // namespace bev::test
