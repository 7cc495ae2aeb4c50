// Communicators on GPUs: NCCL with one rank and with one on each GPU, and several replicas of one GPU through the
// in-process communicator.
#include <doctest/doctest.h>

#include <exception>
#include <mutex>
#include <thread>

#include "runtime/distributed/communicator.h"
#include "tests/support/gpu_context.h"
#include "tests/support/numbers.h"
#include "tests/support/temporary_folder.h"

namespace bev::test {

namespace {

/// Every collective, after work on the compute stream and before more of it; `rank` of `size`.
void exercise(GpuContext& gpu, Communicator& communicator) {
  Context& context = gpu.context;
  const int64_t count = 100003, size = communicator.size(), rank = communicator.rank();
  const auto own = [&](int64_t i) { return static_cast<double>(rank + 1) * static_cast<double>(i % 101); };
  double ranks = 0;
  for (int64_t r = 0; r < size; ++r) ranks += static_cast<double>(r + 1);

  for (int round = 0; round < 3; ++round) {
    const Tensor sums = constant(context, {count}, own), all = context.empty({size * count});
    const Tensor scattered = context.empty({count}), many = constant(context, {size * count}, own);
    const Tensor from_last = constant(context, {count}, own);
    communicator.wait_for(context.stream);
    communicator.all_reduce(sums.raw(), count, DType::f32, "sums");
    communicator.all_gather(from_last.raw(), all.raw(), count, DType::f32, "all");
    communicator.reduce_scatter(many.raw(), scattered.raw(), count, DType::f32, "scattered");
    communicator.broadcast(from_last.raw(), count, DType::f32, static_cast<int>(size - 1), "from the last");
    communicator.release_to(context.stream);
    const auto summed = read_numbers(context, sums), gathered = read_numbers(context, all);
    const auto part = read_numbers(context, scattered), last = read_numbers(context, from_last);
    int64_t wrong = 0;
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(i);
      wrong += summed[at] != ranks * static_cast<double>(i % 101);
      wrong += part[at] != ranks * static_cast<double>((rank * count + i) % 101);
      wrong += last[at] != static_cast<double>(size) * static_cast<double>(i % 101);
      for (int64_t r = 0; r < size; ++r) {
        wrong +=
            gathered[static_cast<size_t>(r * count + i)] != static_cast<double>(r + 1) * static_cast<double>(i % 101);
      }
    }
    if (wrong > 0) fail(ErrorKind::runtime, "replica {}: {} elements are wrong", rank, wrong);
    communicator.barrier("round");
  }
}

/// Replicas on the first `gpus` GPUs in turn.
void on_gpus(Rendezvous& meeting, int replicas, int gpus) {
  std::mutex mutex;
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < replicas; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        GpuContext gpu(Precision::fp32, size_t{64} << 20, rank % gpus);
        exercise(gpu, *meeting.join(rank, *gpu.device, 60));
      } catch (const std::exception& error) {
        meeting.abort(Error(ErrorKind::runtime, error.what()));
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace

TEST_CASE("NCCL with one rank") {
  const auto meeting = meet_by_nccl(1, "gradients");
  CHECK_NOTHROW(on_gpus(*meeting, 1, 1));
}

TEST_CASE("NCCL with a rank on every GPU") {
  const int gpus = survey_cuda().count;
  const auto meeting = meet_by_nccl(gpus, "gradients");
  CHECK_NOTHROW(on_gpus(*meeting, gpus, gpus));
}

TEST_CASE("a communicator of NCCL that was aborted says why, and goes") {
  const auto meeting = meet_by_nccl(1, "gradients");
  GpuContext gpu(Precision::fp32, size_t{1} << 20);
  const auto communicator = meeting->join(0, *gpu.device, 60);
  const Tensor x = constant(gpu.context, {1}, [](int64_t) { return 1.0; });
  communicator->abort(Error(ErrorKind::diverged, "loss is nan"));
  const auto call = [&] { communicator->all_reduce(x.raw(), 1, DType::f32, "sum"); };
  CHECK(contains(error_of(ErrorKind::diverged, call), "loss is nan"));
}

TEST_CASE("NCCL refuses two replicas on one GPU, saying so") {
  const auto meeting = meet_by_nccl(2, "gradients");
  CHECK_THROWS_AS(on_gpus(*meeting, 2, 1), Error);
}

TEST_CASE("several replicas on one GPU, through the in-process communicator") {
  for (const int replicas : {1, 2, 4}) {
    const auto meeting = meet_by_threads(replicas, "gradients");
    CHECK_NOTHROW(on_gpus(*meeting, replicas, 1));
  }
}

}  // namespace bev::test
