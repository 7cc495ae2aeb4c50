// What nvcc gives to kernels, for a C++ compiler: included before everything else in each .cu file. A block's lanes run
// one at a time, on the thread of the stream (see block.h).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

// From here on: <cuda_runtime.h> must not see it.
#define __CUDACC__ 1
#undef __shared__
#define __shared__ static thread_local

#define BEV_FAKE_GPU_TLS __attribute__((tls_model("initial-exec")))
extern thread_local uint3 threadIdx BEV_FAKE_GPU_TLS;
extern thread_local uint3 blockIdx BEV_FAKE_GPU_TLS;
extern thread_local dim3 blockDim BEV_FAKE_GPU_TLS;
extern thread_local dim3 gridDim BEV_FAKE_GPU_TLS;

namespace bev::fake_gpu {
void block_barrier();
void warp_barrier(unsigned mask);
uint64_t warp_exchange(unsigned mask, uint64_t bits, int lane_mask);
}  // namespace bev::fake_gpu

inline void __syncthreads() { bev::fake_gpu::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { bev::fake_gpu::warp_barrier(mask); }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = bev::fake_gpu::warp_exchange(mask, bits, lane_mask);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
