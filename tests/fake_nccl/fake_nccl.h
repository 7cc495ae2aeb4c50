// NCCL, and what of CUDA its communicator calls, for a machine without a GPU: streams are lists of collectives, and one
// is done when all ranks have called it or its own was aborted. Calls return before they are through, as with
// blocking = 0. What is wrong with how they are used ends the process.
#pragma once

#include <cstdint>

namespace bev::test {

/// Of this process.
struct FakeGpus {
  int64_t communicators = 0, streams = 0, events = 0;  // that live
  int64_t events_made = 0;
  bool touched_gpu_0 = false;  // somebody asked something of CUDA whose device was not chosen
};
FakeGpus fake_gpus();
/// cudaSetDevice.
void choose_fake_gpu(int ordinal);

}  // namespace bev::test
