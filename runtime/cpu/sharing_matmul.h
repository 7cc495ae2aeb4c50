// What the CPU's engines have in common: calls are checked at the door, right operands that products of a step share
// are kept packed, and double goes to the project's own blocks. An engine adds how it multiplies floats.
#pragma once

#include "runtime/cpu/admit.h"
#include "runtime/cpu/block_matmul.h"
#include "runtime/cpu/packed_operand.h"
#include "runtime/cpu/scratch.h"
#include "runtime/cpu/shared_operands.h"
#include "runtime/matmul.h"

namespace bev::cpu {

/// Factor (factors.h, scaled_int16.h) says how factors of floats are multiplied where operands are kept packed.
template <class Factor>
class SharingMatmul : public MatmulEngine {
 public:
  /// `shares`: whether packing operands is worth it at all.
  explicit SharingMatmul(bool shares) : shares_(shares) {}

  void run(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
           double alpha, double beta, const void* bias) final {
    if (admit(stream, shape, beta)) compute(type, shape, a, b, c, alpha, beta, bias);
  }

  void run_shared(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
                  double alpha, double beta, const void* bias) final {
    if (!admit(stream, shape, beta)) return;
    if (shares_ && type == DType::f32 && gains(shape, true) &&
        shared_.multiply(shape, static_cast<const float*>(a), static_cast<const float*>(b), static_cast<float*>(c),
                         static_cast<float>(alpha), beta != 0, static_cast<const float*>(bias), rows_)) {
      return;
    }
    compute(type, shape, a, b, c, alpha, beta, bias);
  }

 protected:
  void keep_shared(bool on) final { shared_.keep(on); }
  /// C = alpha A B (+ C, if `accumulate`) (+ bias) for a valid shape.
  virtual void multiply(const MatmulShape& shape, const float* a, const float* b, float* c, float alpha,
                        bool accumulate, const float* bias) = 0;
  /// Whether multiplying as Factor says takes less time than as floats. Scales cost another look at B, which a few
  /// products of each number do not pay for: [8 x 9216] x [9216 x 1024] took 1.9 ms with and 1.1 without. Of a B that
  /// is `kept` packed they cost nothing, and what does not stay in the caches, a million numbers and more, is read at
  /// half the size: [8 x 1024] x [3072 x 1024]^T, 13 of them, took 3.5 ms, and 6.5 as floats.
  static bool gains(const MatmulShape& shape, bool kept) {
    const bool few_rows = shape.m <= 24, large = shape.n * shape.k >= int64_t{1} << 20;
    return !Blocking<Factor>::scaled || (shape.k > 32 && (!few_rows || (kept && large)));
  }
  /// The same with B packed whole beforehand, which is worth its while where there are many rows; no batch.
  void multiply_packed(const MatmulShape& shape, const float* a, const float* b, float* c, float alpha, bool accumulate,
                       const float* bias) {
    packed_.pack(shape, b);
    packed_.multiply(shape, a, c, alpha, accumulate, bias, rows_);
  }

 private:
  void compute(DType type, const MatmulShape& shape, const void* a, const void* b, void* c, double alpha, double beta,
               const void* bias) {
    visit_float(type, [&]<class T>(T) {
      const auto* left = static_cast<const T*>(a);
      const auto* right = static_cast<const T*>(b);
      const auto* row = static_cast<const T*>(bias);
      if constexpr (std::is_same_v<T, float>) {
        multiply(shape, left, right, static_cast<T*>(c), static_cast<T>(alpha), beta != 0, row);
      } else {
        block_matmul<Exact<T>>(shape, left, right, static_cast<T*>(c), alpha, beta != 0, row);
      }
    });
  }

  const bool shares_;
  SharedOperands<Factor> shared_;
  PackedOperand<Factor> packed_;
  Scratch rows_;
};

}  // namespace bev::cpu
