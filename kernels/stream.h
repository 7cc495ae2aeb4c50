// Where work happens. A Stream is a small value that is passed to every kernel launch and library call; it owns
// nothing.
//   cpu   work is done at once, by the calling thread and its OpenMP team
//   cuda  work is enqueued on `handle` (a cudaStream_t) of device `ordinal`, which the calling thread has made current
//   dry   nothing is done: the step's allocations and the work it would do are recorded, which plans memory and counts
//   operations
#pragma once

#include <cstdint>

namespace bev {

enum class DeviceKind : uint8_t { cpu, cuda, dry };

/// What a step asks of the machine, summed over launches. Counted in dry runs only.
struct WorkTally {
  int64_t launches = 0;
  double matmul_flop = 0;       // 2 m n k for every product
  double convolution_flop = 0;  // 2 n p q k r s c for every convolution
  double bytes = 0;             // read and written by row and element kernels, where their launch states it
};

struct Stream {
  DeviceKind kind = DeviceKind::cpu;
  int ordinal = 0;
  void* handle = nullptr;
  WorkTally* tally = nullptr;  // not owned; may be null
};

}  // namespace bev
