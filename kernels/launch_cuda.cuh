// The CUDA bodies of the three launches. Included only by the .cu files that instantiate kernels, each by lines such as
//   template void bev::cuda::run_rows(const bev::Stream&, int64_t, int64_t, const bev::LayerNormForward<float>&);
// Every launch is checked at once; a failure names the kernel's type.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <typeinfo>

#include "kernels/launch.h"
#include "kernels/launch_kernel.cuh"

namespace bev::cuda {

template <class Kernel>
__global__ void elements_kernel(int64_t n, Kernel kernel) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) kernel(i);
}

// Blocks hold block_threads / lanes teams; teams stride over the rows together, so that every member meets every sync.
template <int lanes, int block_threads, class Kernel>
__global__ void rows_kernel(int64_t rows, Kernel kernel) {
  constexpr int teams = block_threads / lanes;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * teams + threadIdx.x / lanes; row < rows;
       row += static_cast<int64_t>(gridDim.x) * teams) {
    kernel(CudaTeam<lanes>{}, row);
  }
}

inline constexpr int column_lanes = 32, row_lanes = 8;

template <class Kernel>
__global__ void columns_kernel(int64_t rows, int64_t cols, int64_t chunks, typename Kernel::Element* workspace,
                               Kernel kernel) {
  using T = typename Kernel::Element;
  constexpr int sums = Kernel::sums;
  __shared__ T shared[sums][row_lanes][column_lanes];
  const int64_t col = static_cast<int64_t>(blockIdx.x) * column_lanes + threadIdx.x, chunk = blockIdx.y;
  const int64_t begin = rows * chunk / chunks, end = rows * (chunk + 1) / chunks;
  T total[sums] = {};
  if (col < cols) {
    for (int64_t row = begin + threadIdx.y; row < end; row += row_lanes) {
      const std::array<T, sums> value = kernel.value(row, col);
      for (int s = 0; s < sums; ++s) total[s] += value[s];
    }
  }
  for (int s = 0; s < sums; ++s) shared[s][threadIdx.y][threadIdx.x] = total[s];
  __syncthreads();
  if (threadIdx.y == 0 && col < cols) {
    for (int s = 0; s < sums; ++s) {
      T sum = shared[s][0][threadIdx.x];
      for (int lane = 1; lane < row_lanes; ++lane) sum += shared[s][lane][threadIdx.x];
      workspace[(chunk * sums + s) * cols + col] = sum;
    }
  }
}

template <class Kernel>
__global__ void columns_finish_kernel(int64_t cols, int64_t chunks, const typename Kernel::Element* workspace,
                                      Kernel kernel) {
  using T = typename Kernel::Element;
  constexpr int sums = Kernel::sums;
  const int64_t col = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (col >= cols) return;
  std::array<T, sums> total = {};
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    for (int s = 0; s < sums; ++s) total[s] += workspace[(chunk * sums + s) * cols + col];
  }
  kernel.finish(col, total);
}

template <class Kernel>
void check_launch() {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("launching ") + typeid(Kernel).name() + ": " + cudaGetErrorString(status));
  }
}

inline cudaStream_t handle_of(const Stream& stream) { return static_cast<cudaStream_t>(stream.handle); }

template <class Kernel>
void run_elements(const Stream& stream, int64_t n, const Kernel& kernel) {
  constexpr int threads = 256;
  constexpr int64_t blocks_at_most = 132 * 16;  // enough to fill a large GPU; the kernel strides over the rest
  const int64_t blocks = std::min((n + threads - 1) / threads, blocks_at_most);
  launch_kernel<elements_kernel<Kernel>>(static_cast<unsigned>(blocks), threads, handle_of(stream), n, kernel);
  check_launch<Kernel>();
}

template <class Kernel>
void run_rows(const Stream& stream, int64_t rows, int64_t width, const Kernel& kernel) {
  constexpr int threads = 256;
  constexpr int64_t blocks_at_most = int64_t{1} << 20;
  const auto row_each = static_cast<unsigned>(std::min(rows, blocks_at_most));
  if (width <= 1024 && rows >= 1024) {  // many short rows: a warp each
    const int64_t blocks = std::min((rows + threads / 32 - 1) / (threads / 32), blocks_at_most);
    launch_kernel<rows_kernel<32, threads, Kernel>>(static_cast<unsigned>(blocks), threads, handle_of(stream), rows,
                                                    kernel);
  } else if (width <= 64) {
    launch_kernel<rows_kernel<32, 32, Kernel>>(row_each, 32, handle_of(stream), rows, kernel);
  } else {
    launch_kernel<rows_kernel<threads, threads, Kernel>>(row_each, threads, handle_of(stream), rows, kernel);
  }
  check_launch<Kernel>();
}

template <class Kernel>
void run_columns(const Stream& stream, int64_t rows, int64_t cols, typename Kernel::Element* workspace,
                 const Kernel& kernel) {
  constexpr int threads = 128;
  const int64_t chunks = column_chunks(rows, cols);
  const dim3 grid(static_cast<unsigned>((cols + column_lanes - 1) / column_lanes), static_cast<unsigned>(chunks));
  launch_kernel<columns_kernel<Kernel>>(grid, dim3(column_lanes, row_lanes), handle_of(stream), rows, cols, chunks,
                                        workspace, kernel);
  check_launch<Kernel>();
  launch_kernel<columns_finish_kernel<Kernel>>(static_cast<unsigned>((cols + threads - 1) / threads), threads,
                                               handle_of(stream), cols, chunks, workspace, kernel);
  check_launch<Kernel>();
}

}  // namespace bev::cuda
