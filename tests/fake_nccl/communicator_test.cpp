// The communicator over NCCL with several ranks, on a library that pretends: what becomes of threads, locks, handles
// and events when all goes well and when something fails. What the real one does with a call it cannot show.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "runtime/device.h"
#include "runtime/distributed/replica_group.h"
#include "tests/fake_nccl/fake_nccl.h"
#include "tests/support/replicas.h"
#include "tests/support/temporary_folder.h"

namespace bev::test {

namespace {

/// A GPU to join with.
class NamedGpu final : public Device {
 public:
  explicit NamedGpu(int ordinal) : ordinal_(ordinal) {}
  DeviceKind kind() const override { return DeviceKind::cuda; }
  int ordinal() const override { return ordinal_; }
  std::string text() const override { return fmt::format("cuda:{}", ordinal_); }
  void make_current() override { choose_fake_gpu(ordinal_); }
  MemoryInfo memory() override { return {}; }
  Stream make_stream() override { return {}; }
  std::unique_ptr<Event> make_event() override { return nullptr; }
  std::unique_ptr<Timer> make_timer() override { return nullptr; }
  std::shared_ptr<void> allocate(size_t) override { return nullptr; }
  std::shared_ptr<void> allocate_staging(size_t) override { return nullptr; }
  void copy(const Stream&, void*, const void*, size_t) override {}
  void zero(const Stream&, void*, size_t) override {}
  void synchronize(const Stream&) override {}
  std::unique_ptr<MatmulEngine> make_matmul(const Stream&) override { return nullptr; }
  std::unique_ptr<ConvolutionEngine> make_convolution(const Stream&) override { return nullptr; }

 private:
  int ordinal_;
};

constexpr Stream compute{.kind = DeviceKind::cuda};

void sum(Communicator& communicator, const char* name) {
  float x = 0;
  communicator.wait_for(compute);
  communicator.all_reduce(&x, 1, DType::f32, name);
  communicator.release_to(compute);
}

/// Runs body(rank, communicator) on three replicas of GPUs 4, 5 and 6, and looks at what is left.
void on_three(double timeout_s, const std::function<void(ReplicaGroup&, int, Communicator&)>& body) {
  const int before = threads_of_this_process();
  const auto check_nothing_is_left = [&] {
    const FakeGpus left = fake_gpus();
    CHECK(left.communicators == 0);
    CHECK(left.streams == 0);
    CHECK(left.events == 0);
    CHECK_FALSE(left.touched_gpu_0);
    CHECK(settles_at(before));
  };
  try {
    ReplicaGroup group(3, {.timeout_s = timeout_s, .grace_s = 20});
    const auto meeting = meet_by_nccl(3, "gradients");
    group.run([&](int rank) {
      NamedGpu device(4 + rank);
      const auto communicator = group.connect(rank, meeting, device);
      body(group, rank, *communicator);
    });
  } catch (const Error&) {
    check_nothing_is_left();
    throw;
  }
  check_nothing_is_left();
}

}  // namespace

TEST_CASE("collectives use a few events again and again") {
  const int64_t before = fake_gpus().events_made;
  on_three(60, [](ReplicaGroup&, int, Communicator& communicator) {
    for (int i = 0; i < 300; ++i) {
      sum(communicator, "bucket");
      if (i % 10 == 9) communicator.barrier("step");
    }
  });
  CHECK(fake_gpus().events_made - before < 3 * (2 + 15));
}

TEST_CASE("a rank that aborts ends the others' collectives, and the cause is reported") {
  for (const bool aborts_itself : {false, true}) {
    const auto run = [&] {
      on_three(60, [&](ReplicaGroup&, int rank, Communicator& communicator) {
        for (int i = 0; i < 50; ++i) {
          if (rank == 1 && i == 20) {
            if (aborts_itself) communicator.abort(Error(ErrorKind::runtime, "replica 1 left"));
            fail(ErrorKind::data, "shard 7 is damaged");
          }
          sum(communicator, "bucket");
        }
        communicator.barrier("end");
      });
    };
    CHECK(contains(error_of(ErrorKind::data, run), "shard 7 is damaged"));
  }
}

TEST_CASE("while one rank still unwinds the others are through") {
  const auto run = [] {
    std::atomic<int> through = 0;
    on_three(60, [&](ReplicaGroup& group, int rank, Communicator& communicator) {
      try {
        group.host(rank).barrier("all have joined");
        if (rank != 1) communicator.barrier("end");
      } catch (const CollectiveAborted&) {
        ++through;
        throw;
      }
      communicator.abort(Error(ErrorKind::data, "shard 7 is damaged"));
      CHECK(fake_gpus().communicators == 0);  // all three: kernels of the others wait for this one's
      while (through < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // as if it freed its memory
      fail(ErrorKind::data, "shard 7 is damaged");
    });
  };
  CHECK(contains(error_of(ErrorKind::data, run), "shard 7 is damaged"));
}

TEST_CASE("a rank that never arrives is named, and all are ended") {
  const auto run = [] {
    on_three(0.3, [](ReplicaGroup& group, int rank, Communicator& communicator) {
      sum(communicator, "bucket 0");
      while (rank == 1 && !group.stopping().stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      communicator.barrier("end");
    });
  };
  CHECK(contains(error_of(ErrorKind::hang, run), "replica 1 did not arrive within 0.3 s (gradients)"));
}

TEST_CASE("what collectives took is told once they are done") {
  on_three(60, [](ReplicaGroup&, int, Communicator& communicator) {
    communicator.set_tracing(true);
    for (int step = 0; step < 3; ++step) {
      for (int i = 0; i < 4; ++i) sum(communicator, "bucket");
      communicator.barrier("step");
      sum(communicator, "last");
      size_t told = 0;
      while (told < 6) told += communicator.take_trace().size();
      CHECK(told == 6);
      CHECK(communicator.take_trace().empty());
    }
  });
}

}  // namespace bev::test
