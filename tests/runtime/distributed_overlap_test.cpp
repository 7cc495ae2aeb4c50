// Gradients are summed while backward runs: seen in virtual time, where a step takes what its work and a slow link say,
// and in real threads, where backward can wait for a sum that only others' progress completes.
#include <doctest/doctest.h>

#include <algorithm>
#include <thread>

#include "runtime/distributed/replica_group.h"
#include "tests/support/replicas.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_replica.h"

using namespace bev;
using test::contains;
using test::TinyReplica;

namespace {

constexpr int64_t layers = 16;
constexpr double seconds_a_layer = 1;

struct Step {
  double seconds = 0, communication = 0;
  ReductionReport report;
};

/// A step of two replicas in virtual time: backward takes a second a layer, the whole reduction `communication_s`.
Step step_in_virtual_time(size_t bucket_bytes, double communication_s) {
  std::vector<Step> steps(2);
  FakeLink link;
  for (int rank = 0; rank < 2; ++rank) link.clocks.push_back(std::make_shared<ManualClock>());
  {
    const auto alone = make_thread_communicators(1);
    const TinyReplica replica(*alone[0], *alone[0], {}, 100, layers);
    link.bytes_per_second = static_cast<double>(replica.store.trained_gradients().bytes()) / communication_s;
  }
  ReplicaGroup group(2);
  const auto meeting = meet_by_threads(2, "gradients", link);
  group.run([&](int rank) {
    const auto device = make_cpu_device();
    const auto communicator = group.connect(rank, meeting, *device);
    TinyReplica replica(*communicator, group.host(rank), {.bucket_bytes = bucket_bytes, .sharded = false}, 100, layers);
    ManualClock& clock = *link.clocks[static_cast<size_t>(rank)];
    replica.before_backward = [&](size_t) { clock.advance(seconds_a_layer); };
    replica.reducer->set_tracing(true);
    replica.reducer->begin();
    replica.micro_step(rank, 1, 0.5, false);
    replica.reducer->finish();
    steps[static_cast<size_t>(rank)] = {clock.now(), communication_s, replica.reducer->take_report()};
  });
  CHECK(steps[0].seconds == steps[1].seconds);
  return steps[0];
}

}  // namespace

TEST_CASE("a step over a slow link takes the longer of backward and communication, not their sum") {
  const double backward = layers * seconds_a_layer;
  for (const double communication : {4.0, 12.0, 15.0, 32.0}) {
    CAPTURE(communication);
    const Step step = step_in_virtual_time(2048, communication);
    const double longer = std::max(backward, communication);
    CHECK(step.report.total_s() == doctest::Approx(communication));
    CHECK(step.seconds >= longer);
    CHECK(step.seconds < 1.15 * longer);
    CHECK(step.seconds == doctest::Approx(backward + communication - step.report.hidden_s()));
    const auto& buckets = step.report.collectives;
    CHECK(buckets.size() > 10);
    const auto early =
        std::count_if(buckets.begin(), buckets.end(), [&](const auto& b) { return b.started < backward; });
    if (communication < backward) CHECK(early * 10 > static_cast<int64_t>(buckets.size()) * 9);
    for (size_t i = 0; i < buckets.size(); ++i) {
      CHECK(buckets[i].started >= buckets[i].ready);
      CHECK(buckets[i].needed == backward);
      if (i > 0) CHECK(buckets[i].started >= buckets[i - 1].finished);
    }
  }
  const Step step = step_in_virtual_time(2048, 12);
  CHECK(contains(step.report.text(), "of 12000.0 ms of communication"));
}

TEST_CASE("with all gradients in one bucket there is nothing to hide") {
  const Step step = step_in_virtual_time(size_t{1} << 30, 12);
  CHECK(step.report.collectives.size() == 1);
  CHECK(step.report.hidden_s() == 0);
  CHECK(step.seconds == doctest::Approx(layers * seconds_a_layer + 12));
}

TEST_CASE("sums progress in threads while backward is still running") {
  // Backward of the first layer comes last; it goes on only when all that was enqueued before it is finished.
  ReplicaGroup group(3);
  const auto meeting = meet_by_threads(3, "gradients");
  std::vector<int> seen(3, 0);
  group.run([&](int rank) {
    const auto device = make_cpu_device();
    const auto communicator = group.connect(rank, meeting, *device);
    TinyReplica replica(*communicator, group.host(rank), {.bucket_bytes = 1024, .sharded = false});
    replica.before_backward = [&](size_t layer) {
      if (layer != 0) return;
      CHECK(communicator->calls() == 2);
      for (int i = 0; i < 2000 && !contains(communicator->last_collective(), "finished"); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      seen[static_cast<size_t>(rank)] = contains(communicator->last_collective(), "finished");
    };
    replica.reducer->begin();
    replica.micro_step(rank, 1, 1, false);
    replica.reducer->finish();
    CHECK(communicator->calls() == 4);
  });
  CHECK(seen == std::vector<int>{1, 1, 1});
}
