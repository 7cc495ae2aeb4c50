// Products of floats on the CPU with factors rounded, to bf16 (factors.h) or to whole numbers with scales
// (scaled_int16.h): half as many instructions where the processor has them, and half the memory for what is packed.
// Always in the project's own blocks, which round while they pack: a library would want whole operands rounded
// beforehand. Products of doubles stay exact.
#include "runtime/cpu/scaled_int16.h"
#include "runtime/cpu/sharing_matmul.h"

namespace bev {

namespace {

template <class Factor>
class RoundingMatmul final : public cpu::SharingMatmul<Factor> {
 public:
  RoundingMatmul() : cpu::SharingMatmul<Factor>(true) {}

 private:
  void multiply(const MatmulShape& shape, const float* a, const float* b, float* c, float alpha, bool accumulate,
                const float* bias) override {
    if (!this->gains(shape, false)) {
      return cpu::block_matmul<cpu::Exact<float>>(shape, a, b, c, alpha, accumulate, bias);
    }
    const bool many_rows = shape.batch == 1 && shape.m > cpu::Blocking<Factor>::rows;
    if (!many_rows) return cpu::block_matmul<Factor>(shape, a, b, c, alpha, accumulate, bias);
    this->multiply_packed(shape, a, b, c, alpha, accumulate, bias);
  }
};

}  // namespace

bool cpu_multiplies_faster_at(Precision precision) {
  return precision == Precision::bf16 ? cpu::Bf16::faster : precision == Precision::tf32 && cpu::ScaledInt16::faster;
}

std::unique_ptr<MatmulEngine> make_cpu_tf32_matmul() { return std::make_unique<RoundingMatmul<cpu::ScaledInt16>>(); }
std::unique_ptr<MatmulEngine> make_cpu_bf16_matmul() { return std::make_unique<RoundingMatmul<cpu::Bf16>>(); }

}  // namespace bev
