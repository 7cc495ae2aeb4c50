// A team is what computes one row: one thread with SIMD on the CPU, a warp or a block on the GPU. All members see the
// results of sum and max. columns() sums over the rows of a small matrix, column by column: finish(i, sums) receives
// the totals of value(r, i), a std::array, over r = 0..rows-1 in this order. Where members read what others have
// written to memory, sync() must stand between.
#pragma once

#include <array>
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
    return reduce<T>(n, T(0), f, [](T a, T b) { return a + b; });
  }
  template <class T, class F>
  T max(int64_t n, F f) const {
    return reduce<T>(n, f(0), f, [](T a, T b) { return b > a ? b : a; });
  }
  template <class T, int sums, class Value, class Finish>
  void columns(int64_t rows, int64_t n, Value value, Finish finish) const {
    constexpr int64_t block = 64;
    for (int64_t first = 0; first < n; first += block) {
      const int64_t count = n - first < block ? n - first : block;
      T total[sums][block] = {};
      for (int64_t r = 0; r < rows; ++r) {
        BEV_NO_ALIAS
        for (int64_t j = 0; j < count; ++j) {
          const std::array<T, sums> term = value(r, first + j);
          for (int s = 0; s < sums; ++s) total[s][j] += term[s];
        }
      }
      for (int64_t j = 0; j < count; ++j) {
        std::array<T, sums> column;
        for (int s = 0; s < sums; ++s) column[s] = total[s][j];
        finish(first + j, column);
      }
    }
  }
  void sync() const {}
  bool leader() const { return true; }

 private:
  // Four vectors of partial results, combined by halves, and what is left over one by one. Written out because what g++
  // makes of a `simd reduction` waits for one partial result after the other: 6 to 12 times slower on a row of 1024.
  // The halves are unrolled, since short rows spend most of their time there: attention to few keys took half as long
  // in its forward pass.
  template <class T, class F, class Op>
  static T reduce(int64_t n, T start, F f, Op op) {
    constexpr int lanes = 256 / sizeof(T);
    T result = start;
    int64_t done = 0;
    if (n >= lanes) {
      T partial[lanes];
#pragma omp simd
      for (int j = 0; j < lanes; ++j) partial[j] = f(j);
      for (done = lanes; done + lanes <= n; done += lanes) {
#pragma omp simd
        for (int j = 0; j < lanes; ++j) partial[j] = op(partial[j], f(done + j));
      }
      BEV_UNROLL
      for (int half = lanes / 2; half > 0; half /= 2) {
#pragma omp simd
        for (int j = 0; j < half; ++j) partial[j] = op(partial[j], partial[j + half]);
      }
      result = op(result, partial[0]);
    }
    for (; done < n; ++done) result = op(result, f(done));
    return result;
  }
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
  template <class T, int sums, class Value, class Finish>
  __device__ void columns(int64_t rows, int64_t n, Value value, Finish finish) const {
    for (int64_t i = lane(); i < n; i += lanes) {
      std::array<T, sums> total = {};
      for (int64_t r = 0; r < rows; ++r) {
        const std::array<T, sums> term = value(r, i);
        for (int s = 0; s < sums; ++s) total[s] += term[s];
      }
      finish(i, total);
    }
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

/// out[i] = f(i), or out[i] += f(i), for i in 0..n-1. Two loops, since a choice inside of one keeps a loop with much in
/// it from vectorising.
template <class Team, class T, class F>
BEV_HD void write_each(Team team, int64_t n, T* out, bool accumulate, F f) {
  if (accumulate) {
    team.each(n, [&](int64_t i) { out[i] += f(i); });
  } else {
    team.each(n, [&](int64_t i) { out[i] = f(i); });
  }
}

/// A block of columns of one sample, as a row of a launch: kernels that sum over the few rows of a sample are launched
/// so, since samples alone are too few to fill a GPU.
struct ColumnBlock {
  static constexpr int64_t size = 256;
  int64_t sample, first, count;  // columns first .. first + count - 1

  static BEV_HD int64_t blocks(int64_t width) { return (width + size - 1) / size; }
  BEV_HD ColumnBlock(int64_t row, int64_t width)
      : sample(row / blocks(width)),
        first(row % blocks(width) * size),
        count(width - first < size ? width - first : size) {}
};

}  // namespace bev
