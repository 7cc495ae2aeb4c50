// Replicas that fail: each ends the group within seconds, with the right kind and message, and no thread stays.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "runtime/device.h"
#include "runtime/distributed/replica_group.h"
#include "tests/support/forgetful_communicator.h"
#include "tests/support/replicas.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using test::contains;
using test::error_of;

namespace {

/// One all-reduce of the host's communicator, waited for.
double sum_over(ReplicaGroup& group, int rank, double x) {
  group.host(rank).all_reduce(&x, 1, DType::f64, "sum");
  group.host(rank).release_to(Stream{});
  return x;
}

}  // namespace

TEST_CASE("a group keeps its threads from one run to the next") {
  const int before = test::threads_of_this_process();
  {
    ReplicaGroup group(3);
    std::vector<std::thread::id> first(3), second(3);
    group.run([&](int rank) { first[static_cast<size_t>(rank)] = std::this_thread::get_id(); });
    group.run([&](int rank) {
      second[static_cast<size_t>(rank)] = std::this_thread::get_id();
      CHECK(sum_over(group, rank, rank + 1) == 6);
    });
    CHECK(first == second);
    CHECK(first[0] != first[1]);
  }
  CHECK(test::settles_at(before));
}

#ifdef _OPENMP
TEST_CASE("replicas share the processors: none uses more OpenMP threads than its part") {
  const int all = omp_get_max_threads();
  ReplicaGroup group(2), asked(2, {.threads = 3});
  group.run([&](int) { CHECK(omp_get_max_threads() == std::max(1, all / 2)); });
  asked.run([&](int) { CHECK(omp_get_max_threads() == 3); });
  CHECK(omp_get_max_threads() == all);
}
#endif

TEST_CASE("the first exception ends every replica and is the one that is reported") {
  const int before = test::threads_of_this_process();
  ReplicaGroup group(4);
  std::atomic<int> ended = 0;
  const std::string message = error_of(ErrorKind::data, [&] {
    group.run([&](int rank) {
      struct Count {
        std::atomic<int>& ended;
        ~Count() { ++ended; }
      } count{ended};
      sum_over(group, rank, 1);
      group.activity(rank).set_step(12);
      group.activity(rank).set("forward of", "linear", "decoder.layers.0");
      if (rank == 2) fail(ErrorKind::data, "shard 7 is damaged");
      sum_over(group, rank, 1);  // the others wait in it
    });
  });
  CHECK(message == "replica 2 (step 12, forward of linear in decoder.layers.0): shard 7 is damaged");
  CHECK(ended == 4);
  CHECK(group.stopping().stop_requested());
  CHECK(test::settles_at(before));
  CHECK_THROWS_AS(group.run([](int) {}), Error);  // and stays of no use
}

TEST_CASE("exceptions that are not the program's own are reported too") {
  ReplicaGroup group(2);
  const std::string message = error_of(ErrorKind::runtime, [&] {
    group.run([&](int rank) {
      if (rank == 0) throw std::out_of_range("index 7");
      group.host(rank).barrier("wait");
    });
  });
  CHECK(contains(message, "replica 0"));
  CHECK(contains(message, "index 7"));
}

TEST_CASE("an error that an abort causes never hides the error that caused it") {
  // Replica 1 leaves through a communicator's destructor first, as an unwinding replica does, and only then reports.
  ReplicaGroup group(2);
  const auto meeting = meet_by_threads(2, "gradients");
  const std::string message = error_of(ErrorKind::diverged, [&] {
    group.run([&](int rank) {
      const auto device = make_cpu_device();
      const auto communicator = group.connect(rank, meeting, *device);
      double x = 1;
      communicator->all_reduce(&x, 1, DType::f64, "bucket 0");
      communicator->release_to(Stream{});
      if (rank == 0) communicator->all_reduce(&x, 1, DType::f64, "bucket 1");
      if (rank == 0) communicator->release_to(Stream{});
      fail(ErrorKind::diverged, "loss is nan");
    });
  });
  CHECK(contains(message, "replica 1"));
  CHECK(contains(message, "loss is nan"));
}

TEST_CASE("a replica that never arrives is a hang that names everybody's last op and collective") {
  const int before = test::threads_of_this_process();
  ReplicaGroup group(3, {.timeout_s = 0.2});
  const std::string message = error_of(ErrorKind::hang, [&] {
    group.run([&](int rank) {
      sum_over(group, rank, 1);
      group.activity(rank).set("backward of", rank == 1 ? "convolution" : "linear", "encoder");
      if (rank == 1) {  // waits for something that does not come, as a loader would: with the group's token
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait(lock, group.stopping(), [] { return false; });
        return;
      }
      sum_over(group, rank, 1);
    });
  });
  CHECK(contains(message, "replica 1 did not arrive within 0.2 s (host)"));
  CHECK(
      contains(message,
               "replica 0: last op backward of linear in encoder; last collective number 1, all_reduce 'sum' of 1 F64, "
               "waits for replica 1"));
  CHECK(contains(message,
                 "replica 1: last op backward of convolution in encoder; last collective number 0, all_reduce "
                 "'sum' of 1 F64, finished"));
  CHECK(test::settles_at(before));
}

TEST_CASE("a replica that nothing can end is given up after a while") {
  std::atomic<bool> released = false;
  std::atomic<int> given_up = 0;
  ReplicaGroupOptions options{.timeout_s = 0.1, .grace_s = 0.1};
  options.give_up = [&](const Error& error) {
    CHECK(error.kind() == ErrorKind::hang);
    CHECK(contains(error.what(), "1 replicas did not end"));
    ++given_up;
    released = true;
    released.notify_all();
  };
  ReplicaGroup group(2, options);
  error_of(ErrorKind::hang, [&] {
    group.run([&](int rank) {
      if (rank == 0) return released.wait(false);
      group.host(rank).barrier("alone");
    });
  });
  CHECK(given_up == 1);
}

namespace {

/// Communicators one call of whose does not return until somebody gives up: abort(), or the question how they are.
class StuckRendezvous final : public Rendezvous {
 public:
  enum class Call : uint8_t { abort, waiting_seconds };
  StuckRendezvous(int count, Call stuck) : inner_(meet_by_threads(count, "stuck")), stuck_(stuck) {}
  const std::string& label() const override { return inner_->label(); }
  std::unique_ptr<Communicator> join(int rank, Device& device, double seconds) override {
    return std::make_unique<Stuck>(inner_->join(rank, device, seconds), *this);
  }
  void abort(const Error& reason) override { inner_->abort(reason); }

  std::atomic<bool> released = false;

 private:
  class Stuck final : public test::ForgetfulCommunicator {
   public:
    Stuck(std::shared_ptr<Communicator> inner, const StuckRendezvous& meeting)
        : ForgetfulCommunicator(std::move(inner), ""), meeting_(meeting) {}
    void abort(const Error& reason) override {
      if (meeting_.stuck_ == Call::abort) meeting_.released.wait(false);
      ForgetfulCommunicator::abort(reason);
    }
    double waiting_seconds() const override {
      if (meeting_.stuck_ == Call::waiting_seconds) meeting_.released.wait(false);
      return ForgetfulCommunicator::waiting_seconds();
    }

   private:
    const StuckRendezvous& meeting_;
  };

  const std::shared_ptr<Rendezvous> inner_;
  const Call stuck_;
};

}  // namespace

TEST_CASE("a library that does not return from being asked or ended keeps nobody from giving up") {
  const int before = test::threads_of_this_process();
  for (const auto stuck : {StuckRendezvous::Call::abort, StuckRendezvous::Call::waiting_seconds}) {
    const auto meeting = std::make_shared<StuckRendezvous>(2, stuck);
    std::atomic<int> given_up = 0;
    ReplicaGroupOptions options{.timeout_s = 0.2, .grace_s = 0.2};
    options.give_up = [&](const Error& error) {
      CHECK(error.kind() == ErrorKind::hang);
      ++given_up;
      meeting->released = true;
      meeting->released.notify_all();
    };
    ReplicaGroup group(2, options);
    error_of(ErrorKind::hang, [&] {
      group.run([&](int rank) {
        const auto device = make_cpu_device();
        const auto communicator = group.connect(rank, meeting, *device);
        if (rank == 0) return meeting->released.wait(false);
        communicator->barrier("alone");
      });
    });
    CHECK(given_up == 1);
  }
  CHECK(test::settles_at(before));
}

TEST_CASE("one group of replicas makes several sets of communicators") {
  ReplicaGroup group(3);
  const auto one = meet_by_threads(3, "one"), other = meet_by_threads(3, "other");
  group.run([&](int rank) {
    const auto device = make_cpu_device();
    const auto first = group.connect(rank, one, *device), second = group.connect(rank, other, *device);
    double x = 1, y = 2;
    first->all_reduce(&x, 1, DType::f64, "x");  // the two have orders of their own
    second->all_reduce(&y, 1, DType::f64, "y");
    second->release_to(Stream{});
    first->release_to(Stream{});
    CHECK(x == 3);
    CHECK(y == 6);
  });
}
