// Collectives in the memory of a GPU: several replicas on one, by this process's kernels, and NCCL with one rank. Says
// so and passes where there is no GPU.
#include <doctest/doctest.h>

#include "runtime/device.h"
#include "runtime/distributed/link_check.h"
#include "runtime/distributed/replica_group.h"
#include "runtime/transfer.h"

using namespace bev;

namespace {

bool has_gpu() {
  const CudaSurvey survey = survey_cuda();
  if (survey.count == 0) MESSAGE("skipped, no GPU: " << survey.reason);
  return survey.count > 0;
}

/// A replica's numbers on its device, through a few collectives on its communication stream, and back.
void check_collectives(Communicator& communicator, Device& device) {
  const Stream stream = device.make_stream();
  const int size = communicator.size(), rank = communicator.rank();
  constexpr int64_t count = 3001;
  const auto number = [](int r, int64_t i) { return 1.0F / static_cast<float>(3 * r + i % 17 + 1); };
  std::vector<float> own(count * static_cast<size_t>(size));
  for (size_t i = 0; i < own.size(); ++i) own[i] = number(rank, static_cast<int64_t>(i));
  const size_t bytes = own.size() * sizeof(float);
  const std::shared_ptr<void> memory = device.allocate(bytes), staging = device.allocate_staging(bytes);
  auto* on_device = static_cast<float*>(memory.get());

  write_to_device(device, stream, memory.get(), own.data(), bytes);
  communicator.wait_for(stream);
  communicator.all_reduce(on_device, count, DType::f32, "first part");
  communicator.reduce_scatter(on_device, on_device + rank * count, count, DType::f32, "scatter in place");
  communicator.all_gather(on_device + rank * count, on_device, count, DType::f32, "gather in place");
  communicator.release_to(stream);
  device.copy(stream, staging.get(), memory.get(), bytes);
  device.synchronize(stream);
  const auto* result = static_cast<const float*>(staging.get());
  int64_t wrong = 0;
  for (int64_t i = 0; i < count * size; ++i) {
    float once = number(0, i);
    for (int r = 1; r < size; ++r) once += number(r, i);
    float expected = once;
    if (i < count) {  // summed over replicas twice
      for (int r = 1; r < size; ++r) expected += once;
    }
    wrong += result[i] != expected;
  }
  CHECK(wrong == 0);
}

void check_all(int replicas, const std::shared_ptr<Rendezvous>& meeting) {
  ReplicaGroup group(replicas);
  group.run(
      [&](int rank) {
        const auto device = make_cuda_device(0, {});
        device->make_current();
        const auto communicator = group.connect(rank, meeting, *device);
        for (int round = 0; round < 3; ++round) check_collectives(*communicator, *device);
        const LinkReport report = check_links(*communicator, group.host(rank), *device, 1 << 20);
        CHECK(report.seconds > 0);
        communicator->barrier("end");
      },
      60);
}

}  // namespace

TEST_CASE("several replicas on one GPU sum as replicas on the CPU do") {
  if (!has_gpu()) return;
  for (const int replicas : {1, 2, 4}) check_all(replicas, meet_by_threads(replicas, "gradients"));
}

TEST_CASE("NCCL with one rank makes a communicator, runs every collective and ends") {
  if (!has_gpu()) return;
  check_all(1, meet_by_nccl(1, "gradients"));
}

TEST_CASE("NCCL is not asked for two replicas on one GPU") {
  if (!has_gpu()) return;
  ReplicaGroup group(2);
  const auto meeting = meet_by_nccl(2, "gradients");
  CHECK_THROWS_AS(group.run([&](int rank) {
    const auto device = make_cuda_device(0, {});
    group.connect(rank, meeting, *device);
  }),
                  Error);
}
