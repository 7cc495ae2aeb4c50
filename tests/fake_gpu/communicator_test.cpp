// The program's communicator over NCCL with several ranks, on pretended GPUs: what it computes, and what becomes of
// threads, locks, handles and events when all goes well and when something fails.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "runtime/device.h"
#include "runtime/distributed/replica_group.h"
#include "runtime/transfer.h"
#include "tests/fake_gpu/settings.h"
#include "tests/support/replicas.h"
#include "tests/support/temporary_folder.h"

namespace bev::test {

namespace {

using namespace fake_gpu;

constexpr int first_gpu = 4, replicas = 3;

/// Before anything is asked of CUDA here: GPUs enough, on each of which a replica's thread must say that it is there.
const bool enough = setenv("FAKE_GPU_COUNT", "7", 1) == 0;

/// A replica's GPU, with memory on it.
struct Gpu {
  explicit Gpu(int rank)
      : device(make_cuda_device(first_gpu + rank, {})),
        compute(device->make_stream()),
        memory(device->allocate(bytes)),
        source(device->allocate(bytes)) {
    fill(1);
  }
  /// On the compute stream, which is not waited for, and only after some other work there.
  void fill(float value) const {
    device->synchronize(compute);
    const std::vector<float> values(elements, value);
    write_to_device(*device, compute, source.get(), values.data(), bytes);
    for (int i = 0; i < 30; ++i) device->zero(compute, memory.get(), bytes);
    device->copy(compute, memory.get(), source.get(), bytes);
  }
  static constexpr size_t elements = 3000, bytes = elements * sizeof(float);
  std::unique_ptr<Device> device;
  Stream compute;
  std::shared_ptr<void> memory, source;
};

void sum(const Gpu& gpu, Communicator& communicator, const char* name) {
  communicator.wait_for(gpu.compute);
  communicator.all_reduce(gpu.memory.get(), 1, DType::f32, name);
  communicator.release_to(gpu.compute);
}

/// Runs body(rank, communicator) on three replicas of GPUs 4, 5 and 6, and looks at what is left.
void on_three(double timeout_s, const std::function<void(ReplicaGroup&, const Gpu&, Communicator&)>& body) {
  REQUIRE(enough);
  const int before = threads_of_this_process();
  const auto check_nothing_is_left = [&] {
    for (const Thing thing : {Thing::communicator, Thing::stream, Thing::event, Thing::block}) CHECK(alive(thing) == 0);
    CHECK_FALSE(has_context(0));  // by a thread that did not say which GPU it means
    CHECK(settles_at(before));
  };
  try {
    ReplicaGroup group(replicas, {.timeout_s = timeout_s, .grace_s = 20});
    const auto meeting = meet_by_nccl(replicas, "gradients");
    group.run([&](int rank) {
      const Gpu gpu(rank);
      const auto communicator = group.connect(rank, meeting, *gpu.device);
      body(group, gpu, *communicator);
    });
  } catch (const Error&) {
    check_nothing_is_left();
    throw;
  }
  check_nothing_is_left();
}

}  // namespace

TEST_CASE("collectives follow what compute did before them, and compute follows them") {
  on_three(60, [](ReplicaGroup&, const Gpu& gpu, Communicator& communicator) {
    constexpr int64_t part = Gpu::elements / replicas;
    auto* const own = static_cast<float*>(gpu.memory.get());
    const int rank = communicator.rank();
    for (int round = 0; round < 20; ++round) {
      gpu.fill(static_cast<float>(rank + round));
      communicator.wait_for(gpu.compute);
      communicator.all_reduce(own, Gpu::elements, DType::f32, "sum");                      // 3 + 3 round
      communicator.reduce_scatter(own, own + rank * part, part, DType::f32, "scattered");  // 9 + 9 round
      communicator.all_gather(own + rank * part, own, part, DType::f32, "gathered");
      communicator.release_to(gpu.compute);
      std::vector<float> result(Gpu::elements);
      gpu.device->copy(gpu.compute, result.data(), own, Gpu::bytes);
      gpu.device->synchronize(gpu.compute);
      CHECK(result == std::vector<float>(Gpu::elements, static_cast<float>(9 + 9 * round)));
      gpu.fill(static_cast<float>(rank));
      communicator.wait_for(gpu.compute);
      communicator.broadcast(own, Gpu::elements, DType::f32, round % replicas, "of one");
      communicator.release_to(gpu.compute);
      gpu.device->copy(gpu.compute, result.data(), own, Gpu::bytes);
      gpu.device->synchronize(gpu.compute);
      CHECK(result == std::vector<float>(Gpu::elements, static_cast<float>(round % replicas)));
    }
  });
}

TEST_CASE("collectives use a few events again and again") {
  const int before = made(Thing::event);
  on_three(60, [](ReplicaGroup&, const Gpu& gpu, Communicator& communicator) {
    for (int i = 0; i < 300; ++i) {
      sum(gpu, communicator, "bucket");
      if (i % 10 == 9) communicator.barrier("step");
    }
  });
  CHECK(made(Thing::event) - before < replicas * (2 + 15));
}

TEST_CASE("a rank that aborts ends the others' collectives, and the cause is reported") {
  for (const bool aborts_itself : {false, true}) {
    const auto run = [&] {
      on_three(60, [&](ReplicaGroup&, const Gpu& gpu, Communicator& communicator) {
        for (int i = 0; i < 50; ++i) {
          if (communicator.rank() == 1 && i == 20) {
            if (aborts_itself) communicator.abort(Error(ErrorKind::runtime, "replica 1 left"));
            fail(ErrorKind::data, "shard 7 is damaged");
          }
          sum(gpu, communicator, "bucket");
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
    on_three(60, [&](ReplicaGroup& group, const Gpu&, Communicator& communicator) {
      const int rank = communicator.rank();
      try {
        group.host(rank).barrier("all have joined");
        if (rank != 1) communicator.barrier("end");
      } catch (const CollectiveAborted&) {
        ++through;
        throw;
      }
      communicator.abort(Error(ErrorKind::data, "shard 7 is damaged"));
      CHECK(alive(Thing::communicator) == 0);  // all three: kernels of the others wait for this one's
      while (through < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // as if it freed its memory
      fail(ErrorKind::data, "shard 7 is damaged");
    });
  };
  CHECK(contains(error_of(ErrorKind::data, run), "shard 7 is damaged"));
}

TEST_CASE("a rank that never arrives is named, and all are ended") {
  const auto run = [] {
    on_three(0.3, [](ReplicaGroup& group, const Gpu& gpu, Communicator& communicator) {
      sum(gpu, communicator, "bucket 0");
      while (communicator.rank() == 1 && !group.stopping().stop_requested()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      communicator.barrier("end");
    });
  };
  CHECK(contains(error_of(ErrorKind::hang, run), "replica 1 did not arrive within 0.3 s (gradients)"));
}

TEST_CASE("what collectives took is told once they are done") {
  on_three(60, [](ReplicaGroup&, const Gpu& gpu, Communicator& communicator) {
    communicator.set_tracing(true);
    for (int step = 0; step < 3; ++step) {
      for (int i = 0; i < 4; ++i) sum(gpu, communicator, "bucket");
      communicator.barrier("step");
      sum(gpu, communicator, "last");
      size_t told = 0;
      while (told < 6) told += communicator.take_trace().size();
      CHECK(told == 6);
      CHECK(communicator.take_trace().empty());
    }
  });
}

}  // namespace bev::test
