// A whole training run of the tiny task in one call, on one replica or on several in threads.
#pragma once

#include "runtime/distributed/replica_group.h"
#include "runtime/train/trainer.h"
#include "tests/support/tiny_task.h"

namespace bev::test {

struct TinyRun {
  DType dtype = DType::f32;
  int replicas = 1;
  int64_t global_batch = 12, samples = 60;  // five steps an epoch
  TrainerConfig trainer;
  OptimizerConfig optimizer;
  ReducerConfig reducer = {.bucket_bytes = 1024};
  std::string resume;  // a checkpoint, or nothing
  int64_t hidden = 24;
  int64_t validation_samples = 10;  // 0: no validation
  FileNames names;
  std::set<int64_t> poisoned;
  std::function<void(Trainer&, TinySource&, TinyTask&, Replica&)> before_run;  // on every replica
  TrainerHooks hooks;
  StopRequest* stop = nullptr;
  FakeLink link = {};                                                               // that gradients go over
  std::function<std::unique_ptr<Task>(int rank, ParameterStore&)> other_task = {};  // than the tiny one; no before_run
  /// What a replica gets in the place of its communicator of gradients, if set.
  std::function<std::shared_ptr<Communicator>(int rank, std::shared_ptr<Communicator>)> communicator = {};

  TrainingOutcome run() {
    StopRequest own;
    std::vector<TrainingOutcome> outcomes(static_cast<size_t>(replicas));
    ReplicaGroup group(replicas, {.threads = 1});
    const auto meeting = meet_by_threads(replicas, "gradients", link);
    group.run(
        [&](int rank) { outcomes[static_cast<size_t>(rank)] = run_replica(group, meeting, rank, stop ? *stop : own); });
    for (const TrainingOutcome& outcome : outcomes) {
      CHECK(outcome.state.step == outcomes[0].state.step);
      CHECK(outcome.end == outcomes[0].end);
    }
    return outcomes[0];
  }

 private:
  TrainingOutcome run_replica(ReplicaGroup& group, const std::shared_ptr<Rendezvous>& meeting, int rank,
                              StopRequest& request) {
    ReplicaParts parts{.device = make_cpu_device(), .host = &group.host(rank), .activity = &group.activity(rank)};
    parts.gradients = group.connect(rank, meeting, *parts.device);
    if (communicator) parts.gradients = communicator(rank, std::move(parts.gradients));
    const Share share{.replica = rank,
                      .replicas = replicas,
                      .micro_batch = global_batch / replicas / trainer.accumulation,
                      .accumulation = trainer.accumulation};
    TinyTask* task = nullptr;
    const auto make_task = [&](ParameterStore& store) -> std::unique_ptr<Task> {
      if (other_task) return other_task(rank, store);
      auto made = std::make_unique<TinyTask>(store, hidden);
      task = made.get();
      return made;
    };
    Replica replica(
        std::move(parts), make_task, tiny_fields(dtype),
        {.dtype = dtype, .micro_batch = share.micro_batch, .seed = 3, .optimizer = optimizer, .reducer = reducer});
    TinySource source(dtype, share, samples);
    source.poisoned = poisoned;
    TinyValidation validation(dtype, share.micro_batch, validation_samples, rank, replicas);
    Trainer made(replica, source, validation_samples > 0 ? &validation : nullptr, trainer, names, hooks, request);
    if (!resume.empty()) made.resume(resume);
    if (before_run) before_run(made, source, *task, replica);
    return made.run();
  }
};

}  // namespace bev::test
