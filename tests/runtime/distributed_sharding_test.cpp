// The sharded reduction: every element is owned by one replica, or by all where a bucket does not divide, sums reach
// their owners, and gathered spans are whole.
#include <doctest/doctest.h>

#include <cmath>

#include "runtime/device.h"
#include "runtime/distributed/replica_group.h"
#include "tests/support/tiny_replica.h"

using namespace bev;
using test::TinyReplica;

namespace {

/// Five steps of plain descent on what the replica owns; then weights, and how many elements it owned.
struct Descent {
  std::vector<double> weights;
  int64_t owned = 0, counted = 0;
};

Descent descend(Communicator& communicator, Communicator& host, const ReducerConfig& config) {
  TinyReplica replica(communicator, host, config);
  Descent out;
  double* weights = replica.store.trained_values().data<double>();
  const double* gradients = replica.store.trained_gradients().data<double>();
  const int64_t own = 48 / communicator.size();
  for (int step = 0; step < 5; ++step) {
    replica.reducer->begin();
    replica.micro_step(step * 48 + own * communicator.rank(), own, 1.0 / communicator.size(), false);
    replica.reducer->finish();
    for (const FlatSpan& span : replica.reducer->owned()) {
      for (int64_t i = span.first; i < span.first + span.count; ++i) weights[i] -= 0.1 * gradients[i];
    }
    replica.reducer->gather(replica.store.trained_values());
  }
  for (const FlatSpan& span : replica.reducer->owned()) out.owned += span.count;
  for (const FlatSpan& span : replica.reducer->counted()) out.counted += span.count;
  out.weights = replica.values();
  return out;
}

std::vector<Descent> descend(int replicas, const ReducerConfig& config) {
  std::vector<Descent> out(static_cast<size_t>(replicas));
  ReplicaGroup group(replicas);
  const auto meeting = meet_by_threads(replicas, "gradients");
  group.run([&](int rank) {
    const auto device = make_cpu_device();
    const auto communicator = group.connect(rank, meeting, *device);
    out[static_cast<size_t>(rank)] = descend(*communicator, group.host(rank), config);
  });
  return out;
}

}  // namespace

TEST_CASE("sharded replicas compute what replicas without shards compute, each on its part") {
  const std::vector<Descent> one = descend(1, {});
  const auto elements = static_cast<int64_t>(one[0].weights.size());
  CHECK(one[0].owned == elements);
  for (const int replicas : {1, 2, 3, 4, 8}) {
    for (const size_t bucket_bytes : {size_t{1}, size_t{3000}, size_t{1} << 20}) {
      CAPTURE(replicas);
      CAPTURE(bucket_bytes);
      const std::vector<Descent> whole = descend(replicas, {.bucket_bytes = bucket_bytes, .sharded = false});
      const std::vector<Descent> sharded = descend(replicas, {.bucket_bytes = bucket_bytes, .sharded = true});
      int64_t counted = 0;
      for (const Descent& replica : sharded) {
        CHECK(replica.weights == whole[0].weights);  // the same sums in the same order, wherever they are taken
        counted += replica.counted;
      }
      CHECK(counted == elements);
      double difference = 0;
      for (size_t i = 0; i < one[0].weights.size(); ++i) {
        difference = std::max(difference, std::abs(sharded[0].weights[i] - one[0].weights[i]));
      }
      CHECK(difference < 1e-12);
    }
  }
}

TEST_CASE("a replica owns its part of the weights and little more") {
  // One bucket of 1024 elements: of three equal parts of whole granules of 64, 64 are left, which all move.
  const std::vector<Descent> sharded = descend(3, {.bucket_bytes = size_t{1} << 20, .sharded = true});
  REQUIRE(sharded[0].weights.size() == 1024);
  for (const Descent& replica : sharded) CHECK(replica.owned == 320 + 64);
  CHECK(sharded[0].counted == 320 + 64);
  CHECK(sharded[1].counted == 320);
}
