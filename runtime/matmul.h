// Matrix products, the first of the two operations left to libraries (the other is convolution.h).
//
// All matrices are row-major. One call computes, for every b in 0..batch-1,
//     C_b = alpha * op(A_b) op(B_b) + beta * C_b (+ bias)
// with op(A_b) [m, k], op(B_b) [k, n], C_b [m, n]; `lda`, `ldb`, `ldc` are the distances, in elements, between stored
// rows, and `stride_*` between batch members (0: the same matrix for every member). A bias has n elements and is added
// to every row.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/stream.h"
#include "runtime/dtype.h"

namespace bev {

struct MatmulShape {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;  // transposed: stored as [k, m], or as [n, k]
  int64_t lda = 0, ldb = 0, ldc = 0;
  int64_t batch = 1, stride_a = 0, stride_b = 0, stride_c = 0;
  bool operator==(const MatmulShape&) const = default;
};

/// y[rows, out] = x[rows, in] W[out, in]^T, all dense: a Linear layer's forward.
inline MatmulShape linear_shape(int64_t rows, int64_t out, int64_t in) {
  return {.m = rows, .n = out, .k = in, .transpose_b = true, .lda = in, .ldb = in, .ldc = out};
}

/// How the factors of float products are rounded; sums are float. At bf16 the GPU's convolutions stay at TF32. On a CPU
/// with AVX-512 VNNI tf32 are whole numbers with scales, which lose less than TF32 (cpu/scaled_int16.h), but for products
/// too small to gain; those, all products on other CPUs, and convolutions are fp32.
enum class Precision : uint8_t { fp32, tf32, bf16 };

constexpr const char* name_of(Precision precision) {
  return precision == Precision::tf32 ? "tf32" : precision == Precision::bf16 ? "bf16" : "fp32";
}

/// Does products for one replica. Not thread-safe: each replica owns one. Every call is asynchronous on `stream` (on
/// the CPU: done on return). Throws Error naming the shape if the library refuses it.
class MatmulEngine {
 public:
  virtual ~MatmulEngine() = default;

  /// `type` is that of A, B, C and bias: f32 everywhere, f64 on the CPU. `beta` is 0 (C is not read) or 1. `bias` may
  /// be null.
  virtual void run(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
                   double alpha, double beta, const void* bias) = 0;

  /// As run(), for a `b` that other products of this step share, such as the weight of a layer that is run many times.
  /// While an UnchangedWeights lives the engine may keep `b` in an order of its own, which products with few rows gain
  /// from; outside of one, and by default, this is run().
  virtual void run_shared(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b,
                          void* c, double alpha, double beta, const void* bias) {
    run(stream, type, shape, a, b, c, alpha, beta, bias);
  }

 protected:
  friend class UnchangedWeights;
  /// What run_shared() kept is forgotten, and from here on it keeps, or no longer.
  virtual void keep_shared(bool) {}
};

/// Promises that while it lives nobody writes to what is passed to run_shared() as `b`: the forward and backward pass
/// of a step, or the steps of a sampling loop. Without one nothing is kept, so forgetting it costs time and never
/// correctness. Not nested.
class UnchangedWeights {
 public:
  explicit UnchangedWeights(MatmulEngine& engine) : engine_(engine) { engine_.keep_shared(true); }
  ~UnchangedWeights() { engine_.keep_shared(false); }
  UnchangedWeights(const UnchangedWeights&) = delete;
  UnchangedWeights& operator=(const UnchangedWeights&) = delete;

 private:
  MatmulEngine& engine_;
};

/// Triple loops in the element type: the reference that the libraries are tested against. float and double, CPU only.
std::unique_ptr<MatmulEngine> make_plain_matmul();

/// oneDNN on the CPU, for float; double goes to the plain loops (blocked, and parallel over rows).
std::unique_ptr<MatmulEngine> make_cpu_matmul();

/// On the CPU with the factors of float products rounded as Precision says; double stays exact.
std::unique_ptr<MatmulEngine> make_cpu_tf32_matmul();
std::unique_ptr<MatmulEngine> make_cpu_bf16_matmul();

/// Whether this program multiplies such factors on the CPU faster than floats: where it was compiled for AVX-512 BF16,
/// and for AVX-512 VNNI at tf32.
bool cpu_multiplies_faster_at(Precision precision);

/// cuBLASLt on the current CUDA device. The algorithm for each shape is found by timing what the heuristics offer,
/// once, and cached in `cache_directory` (empty: not kept). Allocates its workspace here, nothing later.
std::unique_ptr<MatmulEngine> make_cuda_matmul(const Stream& stream, Precision precision,
                                               const std::string& cache_directory);

}  // namespace bev
