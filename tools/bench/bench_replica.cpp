#include "tools/bench/bench_replica.h"

#include "model/policy_task.h"
#include "runtime/distributed/replica_group.h"
#include "tools/common/devices.h"

namespace bev {

std::unique_ptr<Device> make_bench_device(const std::string& text, const RunConfig& run) {
  const DeviceChoice choice = choose_devices({.gpus = "", .device = text}, {}, [](const std::string&) {});
  if (text.empty() || choice.replicas() != 1) {
    fail(ErrorKind::usage, "--device {}: expected cpu or cuda:N, one device", text);
  }
  return make_device(choice, 0, run.runtime);
}

std::unique_ptr<Task> make_policy_task(ParameterStore& store, const RunConfig& run, Device& device) {
  const ValidationOptions validation{
      .sampler = run.sampler, .inference_steps = run.inference_steps, .seed = static_cast<uint64_t>(run.training.seed)};
  return std::make_unique<PolicyTask>(store, run.policy, device, run.augment ? run.augmentation : Augmentation{},
                                      validation);
}

void with_replica(const BenchCase& bench, const std::function<void(Replica&)>& body) {
  const auto meeting = meet_by_threads(1, "gradients");
  ReplicaGroup group(1, {.timeout_s = bench.run.training.collective_timeout_s});
  group.run([&](int rank) {
    ReplicaParts parts{.device = make_bench_device(bench.device, bench.run),
                       .host = &group.host(rank),
                       .activity = &group.activity(rank)};
    Device& device = *parts.device;
    device.make_current();
    parts.gradients = group.connect(rank, meeting, device);
    const auto make_task = [&](ParameterStore& store) { return make_policy_task(store, bench.run, device); };
    const ReplicaConfig config{
        .micro_batch = bench.batch,
        .seed = bench.seed(),
        .optimizer = bench.run.optimizer,
        .reducer = {.bucket_bytes = static_cast<size_t>(bench.run.runtime.bucket_mib * (1 << 20))},
        .graph = bench.run.runtime.cuda_graph};
    Replica replica(std::move(parts), make_task, bench.fields(), config);
    body(replica);
  });
}

Observation observation_of(const Batch& batch, const PolicyConfig& policy) {
  Observation out{.states = batch.at("ego_status"),
                  .bev = batch.at(policy.mode == BevMode::raster ? "lidar_bev" : "lidar_token"),
                  .tokens = {}};
  if (policy.use_vl) out.tokens.vl = batch.at("gen_vit_tokens");
  if (policy.use_reasoning) out.tokens.reasoning = batch.at("reasoning_query_tokens");
  return out;
}

std::unique_ptr<RandomBatches> make_batches(const BenchCase& bench, Replica& replica) {
  return std::make_unique<RandomBatches>(bench.run.policy, bench.fields(), bench.batch, bench.seed(),
                                         [&](size_t bytes) { return replica.device().allocate_staging(bytes); });
}

}  // namespace bev
