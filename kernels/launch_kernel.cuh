// The one place where a kernel is launched on a GPU, in a file of its own: where kernels are compiled for a GPU that is
// pretended (tests/fake_gpu), another stands for it.
#pragma once

#include <cuda_runtime.h>

namespace bev::cuda {

/// Enqueues `kernel`, a __global__ function. What CUDA says of it is to be asked by cudaGetLastError.
template <auto kernel, class... Arguments>
void launch_kernel(dim3 blocks, dim3 threads, cudaStream_t stream, const Arguments&... arguments) {
  kernel<<<blocks, threads, 0, stream>>>(arguments...);
}

}  // namespace bev::cuda
