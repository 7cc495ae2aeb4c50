// Products of floats on the CPU with factors rounded to bf16 (factors.h), half as many instructions where the processor
// has them, and half the memory for what is packed. Always in the project's own blocks, which round while they
// pack: a library would want whole operands rounded beforehand. Products of doubles stay exact.
#include "runtime/cpu/sharing_matmul.h"

namespace bev {

namespace {

using cpu::Bf16;

class Bf16Matmul final : public cpu::SharingMatmul<Bf16> {
 public:
  Bf16Matmul() : SharingMatmul(true) {}

 private:
  void multiply(const MatmulShape& shape, const float* a, const float* b, float* c, float alpha, bool accumulate,
                const float* bias) override {
    const bool many_rows = shape.batch == 1 && shape.m > cpu::Blocking<Bf16>::rows;
    if (!many_rows) return cpu::block_matmul<Bf16>(shape, a, b, c, alpha, accumulate, bias);
    multiply_packed(shape, a, b, c, alpha, accumulate, bias);
  }
};

}  // namespace

bool cpu_multiplies_bf16_faster() { return Bf16::faster; }

std::unique_ptr<MatmulEngine> make_cpu_bf16_matmul() { return std::make_unique<Bf16Matmul>(); }

}  // namespace bev
