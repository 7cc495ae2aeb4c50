// The arithmetic of the pretended libraries: dense products with factors rounded as tensor cores round them, and
// results that are remembered, since a library's candidates are timed by running each of them many times on the same
// numbers.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace bev::fake_gpu {

/// What becomes of a float factor on its way into a multiplier. Kernels that copy operands straight to the tensor cores
/// leave the lower 13 bits to be ignored; others round.
enum class Rounding : uint8_t { none, tf32_nearest, tf32_truncated, bf16 };

float rounded(float x, Rounding rounding);
float from_bf16(uint16_t bits);
/// To the nearest, ties to even.
uint16_t to_bf16(float x);

/// A matrix anywhere in memory: element (i, j) lies at i * row_step + j * col_step.
struct MatrixView {
  const void* data;
  cudaDataType_t type;  // CUDA_R_32F, CUDA_R_64F or CUDA_R_16BF
  int64_t rows, cols, row_step, col_step;
};
/// Dense, row by row. T is double for CUDA_R_64F, else float.
template <class T>
std::vector<T> packed(const MatrixView& view, Rounding rounding);

/// c [m, n] = a [m, k] b [k, n], dense, row by row. The k terms are added up in `splits` parts of equal length.
template <class T>
std::vector<T> product(const T* a, const T* b, int64_t m, int64_t n, int64_t k, int64_t splits);

/// What a computation depends on, as 128 bits.
class Digest {
 public:
  void add(const void* data, size_t bytes);
  template <class T>
  void add(const std::vector<T>& values) {
    add(values.data(), values.size() * sizeof(T));
  }
  void add(int64_t value) { add(&value, sizeof value); }
  std::array<uint64_t, 2> value() const;

 private:
  std::array<uint64_t, 4> lanes_ = {1, 2, 3, 4};
};

/// The result of `compute`, or what it was the last time for the same digest. Thread-safe.
std::shared_ptr<const std::vector<float>> remembered(const Digest& digest,
                                                     const std::function<std::vector<float>()>& compute);

}  // namespace bev::fake_gpu
