// N replicas on N shares compute what one replica computes on the union; and what breaks that is found out.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "runtime/distributed/replica_group.h"
#include "runtime/distributed/shared.h"
#include "tests/support/forgetful_communicator.h"
#include "tests/support/replicas.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_replica.h"

using namespace bev;
using test::contains;
using test::error_of;
using test::TinyReplica;

namespace {

constexpr ReducerConfig small_buckets{.bucket_bytes = 1024, .sharded = false};

struct Run {
  std::vector<double> losses, weights;
};

/// Ten optimiser steps on a global batch of 72.
Run train(int replicas, int64_t accumulation, const ReducerConfig& config = small_buckets) {
  std::vector<Run> runs(static_cast<size_t>(replicas));
  ReplicaGroup group(replicas);
  const auto meeting = meet_by_threads(replicas, "gradients");
  group.run([&](int rank) {
    const auto device = make_cpu_device();
    const auto communicator = group.connect(rank, meeting, *device);
    TinyReplica replica(*communicator, group.host(rank), config, 0.3);
    CHECK(replica.reducer->buckets() > 2);
    Run& run = runs[static_cast<size_t>(rank)];
    for (int step = 0; step < 10; ++step) {
      run.losses.push_back(replica.step(72, accumulation));
      replica.agreement->check(fmt::format("after step {}", step), true);
    }
    run.weights = replica.values();
  });
  for (const Run& run : runs) CHECK(run.weights == runs[0].weights);
  for (const Run& run : runs) CHECK(run.losses == runs[0].losses);
  return runs[0];
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("N replicas on N shares compute what one computes on the union") {
  for (const int64_t accumulation : {1, 3}) {
    const Run one = train(1, accumulation);
    CHECK(one.losses.back() < one.losses.front());
    for (const int replicas : {2, 3, 4, 8}) {
      CAPTURE(replicas);
      CAPTURE(accumulation);
      const Run many = train(replicas, accumulation), again = train(replicas, accumulation);
      CHECK(largest_difference(many.losses, one.losses) < 1e-12);
      CHECK(largest_difference(many.weights, one.weights) < 1e-12);
      CHECK(many.losses == again.losses);
      CHECK(many.weights == again.weights);
    }
  }
}

TEST_CASE("a reduction that one replica forgets is found, with the tensor's name") {
  const std::string message = error_of(ErrorKind::disagreement, [] {
    ReplicaGroup group(3);
    const auto meeting = meet_by_threads(3, "gradients");
    group.run([&](int rank) {
      const auto device = make_cpu_device();
      const auto communicator = group.connect(rank, meeting, *device);
      test::ForgetfulCommunicator forgetful(*communicator, rank == 1 ? "all_reduce of bucket 1" : "");
      TinyReplica replica(forgetful, group.host(rank), small_buckets);
      replica.agreement->check("before the first step", true);
      for (int step = 0; step < 3; ++step) replica.step(24, 1);
      replica.agreement->check("after step 2", true);
    });
  });
  // The bucket holds net.2.bias and net.1.weight; the latter is declared first.
  CHECK(contains(message, "replicas disagree after step 2: replica 1 differs from the others in net.1.weight (2 of 8"));
}

TEST_CASE("where the gradient is clipped all weights differ after a forgotten reduction, but not all gradients") {
  const std::string message = error_of(ErrorKind::disagreement, [] {
    ReplicaGroup group(2);
    const auto meeting = meet_by_threads(2, "gradients");
    group.run([&](int rank) {
      const auto device = make_cpu_device();
      const auto communicator = group.connect(rank, meeting, *device);
      test::ForgetfulCommunicator forgetful(*communicator, rank == 1 ? "all_reduce of bucket 2" : "");
      TinyReplica replica(forgetful, group.host(rank), small_buckets, 0.01);
      ReplicaAgreement gradients(ReplicaAgreement::gradients(replica.store), replica.cpu.context, *replica.device,
                                 group.host(rank));
      replica.step(24, 1);
      CHECK(replica.optimizer->update()->clip < 1);
      gradients.check("after the first reduction", true);
    });
  });
  CHECK(contains(message, "the gradient of net.1.bias (2 of 6"));
}

TEST_CASE("a parameter without a gradient in a step is named, not summed") {
  const std::string message = error_of(ErrorKind::runtime, [] {
    test::on_threads(1, [](Communicator& c) {
      const auto host = make_thread_communicators(1);
      TinyReplica replica(c, *host[0], small_buckets);
      replica.reducer->begin();
      replica.reducer->finish();
    });
  });
  CHECK(contains(message, "net.2.weight"));
  CHECK(contains(message, "not completed"));
}

TEST_CASE("a replica that throws inside its backward pass ends the others, with op and layer") {
  const int before = test::threads_of_this_process();
  const std::string message = error_of(ErrorKind::runtime, [] {
    ReplicaGroup group(4);
    const auto meeting = meet_by_threads(4, "gradients");
    group.run([&](int rank) {
      const auto device = make_cpu_device();
      const auto communicator = group.connect(rank, meeting, *device);
      TinyReplica replica(*communicator, group.host(rank), small_buckets);
      replica.cpu.context.tape.set_activity(&group.activity(rank));
      replica.step(24, 1);
      if (rank == 2) {
        replica.cpu.context.tape.set_gradient_ready([&](Parameter& parameter) {
          if (parameter.name == "net.1.weight") fail(ErrorKind::runtime, "cuBLAS says no");
        });
      }
      replica.step(24, 1);
    });
  });
  CHECK(contains(message, "replica 2 (backward of linear in net.1)"));
  CHECK(contains(message, "cuBLAS says no"));
  CHECK(test::settles_at(before));
}

TEST_CASE("the cause is reported though the others, ended inside their backward passes, report first") {
  ReplicaGroup group(2);
  const auto meeting = meet_by_threads(2, "gradients");
  std::atomic<bool> left = false;
  const std::string message = error_of(ErrorKind::data, [&] {
    group.run([&](int rank) {
      const auto device = make_cpu_device();
      const auto communicator = group.connect(rank, meeting, *device);
      struct Linger {  // goes after the replica has, whose reducer has ended the group by then
        std::atomic<bool>& left;
        std::stop_token stopping;
        int rank;
        ~Linger() {
          if (rank == 0) return;
          left = true;
          left.notify_all();
          while (!stopping.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
      } const linger{left, group.stopping(), rank};
      TinyReplica replica(*communicator, group.host(rank), small_buckets);
      replica.before_backward = [&](size_t layer) {
        if (layer != 0) return;
        if (rank == 1) fail(ErrorKind::data, "shard 3 is gone");
        left.wait(false);  // then calls another bucket's reduction
      };
      replica.step(24, 1);
    });
  });
  CHECK(contains(message, "replica 1"));
  CHECK(contains(message, "backward of noticed in net.0: shard 3 is gone"));
}

TEST_CASE("what is not finite on one replica is skipped by all at the same step") {
  ReplicaGroup group(3);
  const auto meeting = meet_by_threads(3, "gradients");
  group.run([&](int rank) {
    const auto device = make_cpu_device();
    const auto communicator = group.connect(rank, meeting, *device);
    TinyReplica replica(*communicator, group.host(rank), small_buckets);
    replica.step(24, 1);
    const std::vector<double> before = replica.values();
    replica.reducer->begin();
    replica.optimizer->update()->loss = 0;
    replica.micro_step(rank, 1, rank == 1 ? std::nan("") : 1, false);
    communicator->all_reduce(&replica.optimizer->update()->loss, 1, DType::f64, "loss");
    replica.reducer->finish();
    replica.optimizer->step();
    CHECK(replica.optimizer->update()->skipped == 1);
    CHECK(replica.values() == before);
    CHECK(on_any_replica(group.host(rank), rank == 1, "not finite"));
    CHECK_FALSE(on_any_replica(group.host(rank), false, "not finite"));
  });
}

TEST_CASE("the hash sees every bit, and where it is") {
  test::on_threads(1, [](Communicator& c) {
    TinyReplica replica(c, c, small_buckets);
    const std::vector<uint64_t> first = replica.agreement->hashes();
    double* w = replica.store.find("net.1.weight")->value.data<double>();
    const auto differs = [&] { return replica.agreement->hashes() != first; };
    const double kept = w[17];
    w[17] = std::nextafter(kept, 1e9);
    CHECK(differs());
    w[17] = kept;
    CHECK_FALSE(differs());
    std::swap(w[17], w[18]);
    CHECK(differs());
    std::swap(w[17], w[18]);
    w[19] = 0;
    const std::vector<uint64_t> zero = replica.agreement->hashes();
    w[19] = -0.0;
    CHECK(replica.agreement->hashes() != zero);
  });
}

TEST_CASE("running statistics are averaged, and only then enter the agreement") {
  ReplicaGroup group(3);
  group.run([&](int rank) {
    TinyReplica replica(group.host(rank), group.host(rank), small_buckets);
    Parameter& mean = *replica.store.find("running_mean");
    for (int64_t i = 0; i < mean.size(); ++i) mean.value.data<double>()[i] = static_cast<double>((rank + 1) * (i + 1));
    replica.agreement->check("before averaging", false);
    average_statistics(group.host(rank), replica.cpu.context, replica.store);
    for (int64_t i = 0; i < mean.size(); ++i) CHECK(mean.value.data<double>()[i] == 2.0 * static_cast<double>(i + 1));
    CHECK(replica.store.find("frozen")->value.data<double>()[3] != 0);
    replica.agreement->check("after averaging", true);
  });
  ReplicaGroup differing(2);
  const std::string message = error_of(ErrorKind::disagreement, [&] {
    differing.run([&](int rank) {
      TinyReplica replica(differing.host(rank), differing.host(rank), small_buckets);
      replica.store.find("running_mean")->value.data<double>()[3] += rank;
      replica.agreement->check("at the checkpoint of step 5", true);
    });
  });
  CHECK(contains(message, "at the checkpoint of step 5: replica 1 differs from the others in running_mean (1 of 8"));
}

TEST_CASE("values come from the root alone where they are broadcast") {
  ReplicaGroup group(4);
  group.run([&](int rank) {
    TinyReplica replica(group.host(rank), group.host(rank), small_buckets);
    if (rank != 2) replica.store.find("frozen")->value.data<double>()[0] = 100 + rank;
    if (rank != 2) replica.store.find("net.2.bias")->value.data<double>()[0] = 100 + rank;
    broadcast_values(group.host(rank), replica.cpu.context, replica.store, 2);
    replica.agreement->check("after the broadcast", true);
    CHECK(replica.store.find("frozen")->value.data<double>()[0] < 100);
  });
}

TEST_CASE("metrics of all replicas add up by name, whoever has them") {
  ReplicaGroup group(3);
  group.run([&](int rank) {
    MetricSums sums;
    if (rank != 1) sums.add("L2_avg", 0.1 * (rank + 1), 10);
    if (rank == 2) sums.add("collision", 1, 7);
    sums.add("loss", rank, 2);
    sum_over_replicas(group.host(rank), sums);
    REQUIRE(sums.entries.size() == 3);
    CHECK(sums.entries[0].name == "L2_avg");
    CHECK(sums.entries[0].sum == 0.1 * 1 + 0.1 * 3);
    CHECK(sums.entries[0].count == 20);
    CHECK(sums.entries[1].name == "loss");
    CHECK(sums.entries[1].sum == 3);
    CHECK(sums.entries[1].count == 6);
    CHECK(sums.entries[2].name == "collision");
    CHECK(sums.entries[2].count == 7);
  });
}
