// How long a piece of work takes on a stream, for choosing among algorithms. Host and device wait for each other here:
// only before training.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>

#include "runtime/cuda/check.h"

namespace bev::cuda {

/// Cleared memory that candidates are timed in where their results are added to what is there, which must not change.
/// Null where that much is not free: the memory plan takes nearly all of it, and does not know this.
inline std::unique_ptr<void, cudaError_t (*)(void*)> scratch_memory(size_t bytes, cudaStream_t stream) {
  void* raw = nullptr;
  const cudaError_t status = cudaMalloc(&raw, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the next launch is not to blame
    return {nullptr, cudaFree};
  }
  check(status, "allocating scratch memory to time algorithms in");
  std::unique_ptr<void, cudaError_t (*)(void*)> out(raw, cudaFree);
  check(cudaMemsetAsync(raw, 0, bytes, stream), "clearing scratch memory");
  return out;
}

class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream) : stream_(stream) {
    check(cudaEventCreate(&begin_), "creating an event");
    check(cudaEventCreate(&end_), "creating an event");
  }
  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  /// Milliseconds a call of `work`, which enqueues on the stream: the best of some rounds after a warm-up, since
  /// whatever disturbs a measurement makes it longer. A single call tells enough of work that is far slower than
  /// `to_beat`, such as a convolution by a library's last resort, which may take a hundred times as long as the best.
  template <class Work>
  float measure(Work&& work, float to_beat = std::numeric_limits<float>::infinity()) {
    constexpr int rounds = 4, calls = 5;
    constexpr float launch = 0.1F;  // of which a single call's time may consist where the work itself is short
    work();
    const float once = time(work, 1);
    if (once > 2 * to_beat + launch) return once;
    float best = std::numeric_limits<float>::infinity();
    for (int round = 0; round < rounds; ++round) best = std::min(best, time(work, calls) / calls);
    return best;
  }

 private:
  template <class Work>
  float time(Work& work, int calls) {
    check(cudaEventRecord(begin_, stream_), "timing");
    for (int call = 0; call < calls; ++call) work();
    check(cudaEventRecord(end_, stream_), "timing");
    check(cudaEventSynchronize(end_), "timing");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "timing");
    return milliseconds;
  }

  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace bev::cuda
