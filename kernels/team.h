// A team is what computes one row: one thread with SIMD on the CPU, a warp or a block on the GPU. All members see the
// results of sum and max. Where members read what others have written to memory, sync() must stand between.
#pragma once

#include <cstdint>

#include "kernels/annotate.h"

namespace bev {

struct CpuTeam {
  template <class F>
  void each(int64_t n, F f) const {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) f(i);
  }
  template <class T, class F>
  T sum(int64_t n, F f) const {
    T total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; ++i) total += f(i);
    return total;
  }
  template <class T, class F>
  T max(int64_t n, F f) const {
    T largest = f(0);
#pragma omp simd reduction(max : largest)
    for (int64_t i = 1; i < n; ++i) {
      const T value = f(i);
      largest = value > largest ? value : largest;
    }
    return largest;
  }
  void sync() const {}
  bool leader() const { return true; }
};

#ifdef __CUDACC__
// `lanes` threads of a block, 32 (a warp) or a multiple of it (the whole block). Summation order: each lane its strided
// elements, then a butterfly in the warp, then the warps in order.
template <int lanes>
struct CudaTeam {
  __device__ int lane() const { return threadIdx.x % lanes; }
  __device__ bool leader() const { return lane() == 0; }
  __device__ void sync() const {
    if constexpr (lanes == 32) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }
  template <class F>
  __device__ void each(int64_t n, F f) const {
    for (int64_t i = lane(); i < n; i += lanes) f(i);
  }
  template <class T, class F>
  __device__ T sum(int64_t n, F f) const {
    T value = 0;
    for (int64_t i = lane(); i < n; i += lanes) value += f(i);
    return combine(value, [](T a, T b) { return a + b; });
  }
  template <class T, class F>
  __device__ T max(int64_t n, F f) const {
    T value = f(lane() < n ? lane() : 0);
    for (int64_t i = lane() + lanes; i < n; i += lanes) {
      const T other = f(i);
      value = other > value ? other : value;
    }
    return combine(value, [](T a, T b) { return a > b ? a : b; });
  }

 private:
  template <class T, class Op>
  __device__ T combine(T value, Op op) const {
    for (int step = 16; step > 0; step /= 2) value = op(value, __shfl_xor_sync(0xffffffffu, value, step));
    if constexpr (lanes == 32) {
      return value;
    } else {
      __shared__ T partial[lanes / 32];
      __syncthreads();  // an earlier result may still be being read
      if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
      __syncthreads();
      value = partial[0];
      for (int warp = 1; warp < lanes / 32; ++warp) value = op(value, partial[warp]);
      return value;
    }
  }
};
#endif

}  // namespace bev
