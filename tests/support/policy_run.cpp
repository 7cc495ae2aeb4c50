#include "tests/support/policy_run.h"

#include <doctest/doctest.h>

#include <array>

#include "data/batch_memory.h"
#include "model/policy_task.h"
#include "runtime/distributed/reduction_check.h"
#include "runtime/distributed/replica_group.h"
#include "runtime/distributed/statistics.h"
#include "runtime/replica.h"
#include "runtime/train/training_step.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

/// The batches of one replica: sample number n of the run is a function of n alone.
class Samples final : public BatchSource {
 public:
  Samples(const PolicyConfig& policy, DType dtype, const Share& share) : share_(share), fields_(fields(policy, dtype)) {
    for (Batch& batch : batches_) batch = allocate_batch(fields_, share.micro_batch, plain_host_memory());
  }

  static std::vector<FieldSpec> fields(const PolicyConfig& policy, DType dtype) {
    std::vector<FieldSpec> out = {{"ego_status", dtype, {policy.observed, policy.state_dim}},
                                  {"agent_pos", dtype, {policy.horizon, 2}},
                                  {"gen_vit_tokens", dtype, {policy.vl_tokens, policy.vlm_dim}},
                                  {"reasoning_query_tokens", dtype, {policy.reasoning_tokens, policy.vlm_dim}}};
    if (policy.mode == BevMode::raster) {
      const Shape rasters{policy.observed, 3, policy.bev_input_size[0], policy.bev_input_size[1]};
      out.push_back({"lidar_bev", DType::u8, rasters});
    } else {
      out.push_back({"lidar_token", dtype, {policy.observed, policy.cells, 512}});
    }
    return out;
  }

  const std::vector<FieldSpec>& fields() const override { return fields_; }
  int64_t steps_an_epoch() const override { return 1000; }
  void seek(int64_t step) override { micro_ = step * share_.accumulation; }
  double take_waiting_seconds() override { return 0; }

  const Batch& next() override {
    Batch& batch = batches_[static_cast<size_t>(micro_ % 3)];
    const int64_t step = micro_ / share_.accumulation;
    const int64_t first = step * share_.global_batch() + share_.offset(micro_ % share_.accumulation);
    for (int64_t i = 0; i < batch.size; ++i) {
      batch.samples[static_cast<size_t>(i)] = first + i;
      for (const Batch::Field& field : batch.fields) fill(field.value, i, first + i);
    }
    ++micro_;
    return batch;
  }

 private:
  static void fill(const Tensor& field, int64_t place, int64_t sample) {
    const int64_t each = field.size() / field.dim(0);
    const std::vector<double> numbers = random_numbers<double>(each, static_cast<uint32_t>(sample));
    if (field.dtype() == DType::u8) {
      auto* out = field.data<uint8_t>() + place * each;
      for (int64_t i = 0; i < each; ++i) out[i] = static_cast<uint8_t>(127.5 * (numbers[static_cast<size_t>(i)] + 1));
      return;
    }
    visit_float(field.dtype(),
                [&]<class T>(T) { std::copy(numbers.begin(), numbers.end(), field.data<T>() + place * each); });
  }

  Share share_;
  std::vector<FieldSpec> fields_;
  std::array<Batch, 3> batches_;
  int64_t micro_ = 0;
};

std::vector<double> numbers_of(const Tensor& tensor) {
  return visit_float(tensor.dtype(), [&]<class T>(T) {
    return std::vector<double>(tensor.data<T>(), tensor.data<T>() + tensor.size());
  });
}

std::vector<NamedNumbers> trained(const ParameterStore& store, const Tensor& span) {
  std::vector<NamedNumbers> out;
  for (const Parameter* parameter : store.trained()) {
    out.push_back({parameter->name, numbers_of(span.part(parameter->offset, parameter->shape))});
  }
  return out;
}

/// What the replica holds at the end; gradients where the reduction left them.
PolicyOutcome outcome_of(Replica& replica) {
  PolicyOutcome out;
  ParameterStore& store = replica.parameters();
  out.gradients = trained(store, store.trained_gradients());  // first: sharded, averages are gathered into their memory
  out.weights = trained(store, store.trained_values());
  out.averages = trained(store, replica.optimizer().whole(Optimizer::Kind::average));
  for (const auto& parameter : store.all()) {
    if (parameter->is_buffer && parameter->in_files) {
      out.statistics.push_back({parameter->name, numbers_of(parameter->value)});
    }
  }
  return out;
}

/// Takes what `owner` owns of a span over from it.
void take_owned(std::vector<NamedNumbers>& all, const std::vector<NamedNumbers>& owners, const ParameterStore& store,
                const std::vector<FlatSpan>& owned) {
  for (size_t i = 0; i < all.size(); ++i) {
    const int64_t offset = store.trained()[i]->offset;
    for (const FlatSpan& span : owned) {
      const int64_t first = std::max<int64_t>(span.first - offset, 0);
      const int64_t last = std::min<int64_t>(span.first + span.count - offset, std::ssize(all[i].numbers));
      for (int64_t j = first; j < last; ++j) {
        all[i].numbers[static_cast<size_t>(j)] = owners[i].numbers[static_cast<size_t>(j)];
      }
    }
  }
}

class Runner {
 public:
  explicit Runner(const PolicyRun& run) : run_(run), outcomes_(static_cast<size_t>(run.replicas)) {}

  PolicyOutcome operator()() {
    ReplicaGroup group(run_.replicas, {.threads = 1});
    group.run([&](int rank) { outcomes_[static_cast<size_t>(rank)] = replica(group, rank); });
    for (PolicyOutcome& outcome : outcomes_) {
      if (!run_.policy.sync_batch_norm) outcome.statistics = outcomes_[0].statistics;
      CHECK(outcome == outcomes_[0]);
    }
    return outcomes_[0];
  }

 private:
  PolicyOutcome replica(ReplicaGroup& group, int rank) {
    ReplicaParts parts{.device = make_cpu_device(), .host = &group.host(rank), .activity = &group.activity(rank)};
    parts.gradients = group.connect(rank, gradients_, *parts.device);
    Device& device = *parts.device;
    const Share share{.replica = rank,
                      .replicas = run_.replicas,
                      .micro_batch = run_.global_batch / run_.replicas / run_.accumulation,
                      .accumulation = run_.accumulation};
    const auto make_task = [&](ParameterStore& store) {
      return std::make_unique<PolicyTask>(store, run_.policy, device, Augmentation{.raster_deviation = 0.02},
                                          ValidationOptions{.inference_steps = 2});
    };
    Replica replica(std::move(parts), make_task, Samples::fields(run_.policy, run_.dtype),
                    {.dtype = run_.dtype,
                     .micro_batch = share.micro_batch,
                     .seed = 11,
                     .optimizer = run_.optimizer,
                     .reducer = {.bucket_bytes = 16384, .sharded = run_.sharded}});
    CHECK(replica.reducer().buckets() > 4);
    CommunicatedStatistics reducer(replica.gradients());
    replica.context().statistics = &reducer;

    Samples samples(run_.policy, run_.dtype, share);
    TrainingStep step(replica, samples, share);
    ReductionCheck check(replica.parameters(), replica.reducer(), replica.context(), device, group.host(rank));
    std::vector<double> losses, norms;
    for (int64_t i = 0; i < run_.steps; ++i) {
      step.enqueue(i, run_.learning_rate, &check);
      const StepOutcome outcome = step.collect();
      check.check(fmt::format("in step {}", i));
      losses.push_back(outcome.loss);
      norms.push_back(outcome.gradient_norm);
    }
    PolicyOutcome out = outcome_of(replica);
    out.steps = {{"losses", losses}, {"gradient norms", norms}};
    if (run_.sharded) join_gradients(group, replica, out);
    return out;
  }

  /// Sharded, a replica has the sums of what it owns alone.
  void join_gradients(ReplicaGroup& group, Replica& replica, PolicyOutcome& out) {
    const auto rank = static_cast<size_t>(replica.rank());
    parts_[rank] = {out.gradients, replica.reducer().owned()};
    group.host(replica.rank()).barrier("gradients");
    for (size_t other = 0; other < static_cast<size_t>(run_.replicas); ++other) {
      take_owned(out.gradients, parts_[other].first, replica.parameters(), parts_[other].second);
    }
  }

  const PolicyRun run_;
  std::vector<PolicyOutcome> outcomes_;
  std::array<std::pair<std::vector<NamedNumbers>, std::vector<FlatSpan>>, 16> parts_;  // by replica
  const std::shared_ptr<Rendezvous> gradients_ = meet_by_threads(run_.replicas, "gradients");
};

}  // namespace

PolicyConfig tiny_policy(BevMode mode) {
  PolicyConfig config;
  config.mode = mode;
  config.observed = mode == BevMode::raster ? 1 : 2;  // a backbone on the CPU takes its time
  config.horizon = 3;
  config.state_dim = 5;
  config.vl_tokens = 4;
  config.reasoning_tokens = 3;
  config.vlm_dim = 6;
  config.vl_emb_dim = 7;
  config.bev_input_size = {32, 64};
  config.cells = 2;
  config.base_channels = 4;
  config.sync_batch_norm = true;
  config.width = 8;
  config.heads = 2;
  config.layers = 2;
  config.condition_layers = 2;
  return config;
}

PolicyOutcome run_policy(const PolicyRun& run) { return Runner(run)(); }

}  // namespace bev::test
