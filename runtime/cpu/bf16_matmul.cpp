// Products of floats on the CPU with factors rounded to bf16 (factors.h), half as many instructions where the processor
// has them, and half the memory for what is packed. Always in the project's own blocks: what a library would want,
// whole operands rounded beforehand, costs more than it gains where rows are few. Products of doubles stay exact.
#include "runtime/cpu/admit.h"
#include "runtime/cpu/block_matmul.h"
#include "runtime/cpu/packed_operand.h"
#include "runtime/cpu/shared_operands.h"
#include "runtime/matmul.h"
#include "runtime/tally.h"

namespace bev {

namespace {

using cpu::Bf16;

class Bf16Matmul : public MatmulEngine {
 public:
  void run(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
           double alpha, double beta, const void* bias) override {
    if (admitted(stream, shape, beta)) compute(type, shape, a, b, c, alpha, beta, bias);
  }

  void run_shared(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
                  double alpha, double beta, const void* bias) override {
    if (!admitted(stream, shape, beta)) return;
    if (type == DType::f32 &&
        shared_.multiply(shape, static_cast<const float*>(a), static_cast<const float*>(b), static_cast<float*>(c),
                         static_cast<float>(alpha), beta != 0, static_cast<const float*>(bias))) {
      return;
    }
    compute(type, shape, a, b, c, alpha, beta, bias);
  }

 protected:
  void keep_shared(bool on) override { shared_.keep(on); }

 private:
  static bool admitted(const Stream& stream, const MatmulShape& shape, double beta) {
    cpu::require_valid(shape, beta);
    if (tallied(stream, shape)) return false;
    cpu::require_host(stream, "a product");
    return true;
  }

  void compute(DType type, const MatmulShape& shape, const void* a, const void* b, void* c, double alpha, double beta,
               const void* bias) {
    visit_float(type, [&]<class T>(T) {
      multiply(shape, static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(c), static_cast<T>(alpha),
               beta != 0, static_cast<const T*>(bias));
    });
  }

  static void multiply(const MatmulShape& shape, const double* a, const double* b, double* c, double alpha,
                       bool accumulate, const double* bias) {
    cpu::block_matmul<cpu::Exact<double>>(shape, a, b, c, alpha, accumulate, bias);
  }

  void multiply(const MatmulShape& shape, const float* a, const float* b, float* c, float alpha, bool accumulate,
                const float* bias) {
    const bool many_rows = shape.batch == 1 && shape.m > cpu::Blocking<Bf16>::rows;
    if (!many_rows) return cpu::block_matmul<Bf16>(shape, a, b, c, alpha, accumulate, bias);
    whole_.pack(shape, b);
    whole_.multiply(shape, a, c, alpha, accumulate, bias);
  }

  cpu::SharedOperands<Bf16> shared_;
  cpu::PackedOperand<Bf16> whole_;
};

}  // namespace

bool cpu_multiplies_bf16_faster() { return Bf16::faster; }

std::unique_ptr<MatmulEngine> make_cpu_bf16_matmul() { return std::make_unique<Bf16Matmul>(); }

}  // namespace bev
