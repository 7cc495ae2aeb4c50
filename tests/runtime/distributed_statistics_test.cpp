// Synchronised batch norm over replicas: shares of a batch, normalised together, are the whole batch normalised.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "runtime/device.h"
#include "runtime/distributed/replica_group.h"
#include "runtime/distributed/statistics.h"
#include "runtime/ops/batch_norm.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/mean_squared_error.h"
#include "runtime/replica.h"
#include "tests/support/cpu_context.h"
#include "tests/support/recording_device.h"

using namespace bev;

namespace {

constexpr int64_t samples = 24, pixels = 6, inputs = 5, channels = 8;

struct Result {
  std::vector<double> gradients, statistics;
};

/// Forward and backward of Linear, batch norm and ReLU on this replica's share; gradients summed over all.
Result step(Communicator& gradients) {
  const int64_t own = samples / gradients.size(), first = own * gradients.rank();
  test::CpuContext cpu(DType::f64, size_t{64} << 20);
  Context& context = cpu.context;
  CommunicatedStatistics reducer(gradients);
  context.statistics = &reducer;

  ParameterStore store;
  Parameter& weight = store.declare("weight", {channels, inputs}, Init::constant(0));
  BatchNormParameters norm{.gamma = &store.declare("gamma", {channels}, Init::constant(1)),
                           .beta = &store.declare("beta", {channels}, Init::constant(0)),
                           .running_mean = &store.declare_buffer("mean", {channels}, 0),
                           .running_variance = &store.declare_buffer("variance", {channels}, 1)};
  store.allocate(*context.arena, DType::f64, {norm.gamma, norm.beta, &weight},
                 [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
  int64_t seed = 0;
  for (const auto& parameter : store.all()) {
    for (int64_t i = 0; i < parameter->size(); ++i) {
      parameter->value.data<double>()[i] = parameter->is_buffer ? 1 : 1 + 0.5 * std::sin(static_cast<double>(++seed));
    }
  }

  context.tape.begin(store, false);
  const auto fill = [&](const Tensor& tensor, double pace) {
    const int64_t each = tensor.size() / own;
    for (int64_t i = 0; i < tensor.size(); ++i) {
      tensor.data<double>()[i] = std::sin(pace * static_cast<double>(first * each + i)) + 0.3;
    }
    return tensor;
  };
  const Tensor x = fill(context.empty({own, pixels, inputs}), 0.7);
  const Tensor target = fill(context.empty({own, pixels, channels}), 1.1);
  const Variable h = linear(context, Variable(x), weight, nullptr);
  const Variable y = batch_norm(context, h, norm, {.of_batch = true, .synchronised = true, .relu = true});
  const Variable loss = mean_squared_error(context, y, target);
  context.tape.backward(loss, [&](const Tensor& d, bool) { *d.data<double>() = 1.0 / gradients.size(); });
  const Tensor sums = store.trained_gradients();
  gradients.all_reduce(sums.raw(), sums.size(), DType::f64, "gradients");
  gradients.release_to(Stream{});

  const auto values = [](const Tensor& span) {
    return std::vector<double>(span.data<double>(), span.data<double>() + span.size());
  };
  return {values(sums), values(store.other_values())};
}

std::vector<Result> run(int replicas) {
  std::vector<Result> results(static_cast<size_t>(replicas));
  ReplicaGroup group(replicas);
  const auto gradients = meet_by_threads(replicas, "gradients");
  group.run([&](int rank) {
    const auto device = make_cpu_device();
    const auto communicator = group.connect(rank, gradients, *device);
    results[static_cast<size_t>(rank)] = step(*communicator);
  });
  return results;
}

/// Batch norm of what a batch holds, and of nothing else.
struct NormTask final : Task {
  NormTask(ParameterStore& store, bool synchronised)
      : norm{.gamma = &store.declare("gamma", {channels}, Init::constant(1)),
             .beta = &store.declare("beta", {channels}, Init::constant(0)),
             .running_mean = &store.declare_buffer("mean", {channels}, 0),
             .running_variance = &store.declare_buffer("variance", {channels}, 1)},
        synchronised(synchronised) {}

  Variable loss(Context& context, const Batch& batch) override {
    const Variable y = batch_norm(context, Variable(batch.at("x")), norm,
                                  {.of_batch = context.training, .synchronised = synchronised});
    return mean_squared_error(context, y, batch.at("target"));
  }
  void validate(Context& context, const Batch& batch, MetricSums&) override { loss(context, batch); }

  BatchNormParameters norm;
  bool synchronised;
};

/// Replicas of NormTask with one sample of one value a channel each, made as training makes them.
void make_replicas(int replicas, bool synchronised, const std::function<std::unique_ptr<Device>()>& make_device) {
  ReplicaGroup group(replicas);
  const auto gradients = meet_by_threads(replicas, "gradients");
  group.run([&](int rank) {
    ReplicaParts parts{.device = make_device(), .host = &group.host(rank)};
    parts.gradients = group.connect(rank, gradients, *parts.device);
    const Replica replica(
        std::move(parts), [&](ParameterStore& store) { return std::make_unique<NormTask>(store, synchronised); },
        {{"x", DType::f32, {channels}}, {"target", DType::f32, {channels}}}, {.micro_batch = 1});
    CHECK(replica.context().statistics == nullptr);  // whoever made the replica gives it the real one
  });
}

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("batch norm over shares is batch norm over the union") {
  const std::vector<Result> one = run(1);
  double size = 0;
  for (const double gradient : one[0].gradients) size = std::max(size, std::abs(gradient));
  CHECK(size > 1e-3);
  for (const int replicas : {2, 3, 8}) {
    CAPTURE(replicas);
    const std::vector<Result> many = run(replicas);
    for (const Result& result : many) {
      CHECK(difference(result.gradients, one[0].gradients) < 1e-12);
      CHECK(difference(result.statistics, one[0].statistics) < 1e-12);
      CHECK(result.gradients == many[0].gradients);
      CHECK(result.statistics == many[0].statistics);
    }
  }
}

TEST_CASE("replicas with one value a channel each are planned and warmed up, where the union has more") {
  const std::function<std::unique_ptr<Device>()> devices[] = {
      [] { return make_cpu_device(); },
      [] { return std::make_unique<test::RecordingDevice>(); }};  // which is warmed up, as a GPU is
  for (const auto& device : devices) {
    CHECK_NOTHROW(make_replicas(2, true, device));
    CHECK_THROWS_WITH_AS(make_replicas(1, true, device), doctest::Contains("one value a channel"), Error);
    CHECK_THROWS_WITH_AS(make_replicas(2, false, device), doctest::Contains("one value a channel"), Error);
  }
}
