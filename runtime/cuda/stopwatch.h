// How long a piece of work takes on a stream, for choosing among algorithms. Host and device wait for each other here:
// only before training.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>

#include "runtime/cuda/check.h"

namespace bev::cuda {

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
  /// whatever disturbs a measurement makes it longer.
  template <class Work>
  float measure(Work&& work) {
    constexpr int rounds = 4, calls = 5;
    work();
    float best = 0;
    for (int round = 0; round < rounds; ++round) {
      check(cudaEventRecord(begin_, stream_), "timing");
      for (int call = 0; call < calls; ++call) work();
      check(cudaEventRecord(end_, stream_), "timing");
      check(cudaEventSynchronize(end_), "timing");
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, begin_, end_), "timing");
      best = round == 0 ? milliseconds : std::min(best, milliseconds);
    }
    return best / calls;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace bev::cuda
