#include "tests/fake_nccl/fake_nccl.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

namespace {

struct Group {
  int size = 0;
  std::map<int, int64_t> called;  // collectives, by rank
};
struct Communicator {
  Group* group;
  int rank;
  bool aborted = false;
  int polls = 3;  // until what was called is through
};
struct Collective {
  const Communicator* communicator;
  int64_t number;
};
struct Stream {
  std::vector<Collective> collectives;
};
struct Event {
  const Stream* stream = nullptr;
  size_t behind = 0;  // so many of its collectives
};

std::mutex mutex;  // of all
bev::test::FakeGpus state;
std::vector<Group*> groups;  // never freed: kernels and events may still point to what has ended
thread_local int current_device = 0;

void use_device() {
  if (current_device == 0) state.touched_gpu_0 = true;
}

bool done(const Collective& one) {
  const Group& group = *one.communicator->group;
  return one.communicator->aborted ||
         (static_cast<int>(group.called.size()) == group.size &&
          std::all_of(group.called.begin(), group.called.end(), [&](const auto& c) { return c.second > one.number; }));
}

cudaError_t answer(const Stream* stream, size_t count) {
  const auto first = stream->collectives.begin();
  return std::all_of(first, first + static_cast<std::ptrdiff_t>(count), done) ? cudaSuccess : cudaErrorNotReady;
}

Communicator* usable(ncclComm_t handle) {
  auto* const out = reinterpret_cast<Communicator*>(handle);
  if (out && !out->aborted) return out;
  std::fputs("a communicator was used that is not there, or after its end\n", stderr);
  std::abort();
}

ncclResult_t call(ncclComm_t handle, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  Communicator* const own = usable(handle);
  reinterpret_cast<Stream*>(stream)->collectives.push_back({own, own->group->called[own->rank]++});
  own->polls = 2;
  return ncclInProgress;
}

ncclResult_t end(ncclComm_t handle) {
  const std::lock_guard lock(mutex);
  usable(handle)->aborted = true;
  --state.communicators;
  return ncclSuccess;
}

}  // namespace

bev::test::FakeGpus bev::test::fake_gpus() {
  const std::lock_guard lock(mutex);
  return state;
}

void bev::test::choose_fake_gpu(int ordinal) { current_device = ordinal; }

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = std::malloc(bytes);
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  const std::lock_guard lock(mutex);
  use_device();
  ++state.streams;
  *stream = reinterpret_cast<cudaStream_t>(new Stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  --state.streams;
  delete reinterpret_cast<Stream*>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  use_device();
  const auto* const asked = reinterpret_cast<Stream*>(stream);
  return answer(asked, asked->collectives.size());
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  const std::lock_guard lock(mutex);
  ++state.events;
  ++state.events_made;
  *event = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  --state.events;
  delete reinterpret_cast<Event*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  const auto* const on = reinterpret_cast<Stream*>(stream);
  *reinterpret_cast<Event*>(event) = {on, on ? on->collectives.size() : 0};
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(mutex);
  use_device();
  const Event& asked = *reinterpret_cast<Event*>(event);
  return asked.stream ? answer(asked.stream, asked.behind) : cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return cudaSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const std::lock_guard lock(mutex);
  const size_t number = groups.size();
  groups.push_back(new Group);
  std::memcpy(id, &number, sizeof number);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* out, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  const std::lock_guard lock(mutex);
  if (config->blocking != 0) return ncclInvalidArgument;
  size_t number = 0;
  std::memcpy(&number, &id, sizeof number);
  Group* const group = groups[number];
  group->size = size;
  group->called[rank] = 0;
  ++state.communicators;
  *out = reinterpret_cast<ncclComm_t>(new Communicator{group, rank});
  return ncclInProgress;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* result) {
  const std::lock_guard lock(mutex);
  Communicator* const own = usable(handle);
  own->polls = std::max(0, own->polls - 1);
  const bool all_are_there = static_cast<int>(own->group->called.size()) == own->group->size;
  *result = own->polls > 0 || !all_are_there ? ncclInProgress : ncclSuccess;
  return ncclSuccess;
}
ncclResult_t ncclAllReduce(const void*, void*, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t handle,
                           cudaStream_t stream) {
  return call(handle, stream);
}
ncclResult_t ncclCommFinalize(ncclComm_t handle) {
  const std::lock_guard lock(mutex);
  usable(handle)->polls = 2;
  return ncclInProgress;
}
ncclResult_t ncclCommAbort(ncclComm_t handle) { return end(handle); }
ncclResult_t ncclCommDestroy(ncclComm_t handle) { return end(handle); }
