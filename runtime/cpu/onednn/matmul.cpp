// Matrix products on the CPU: single ones of float with many rows in oneDNN; those with few rows, batches, and all of
// double in the project's own blocks (block_product.h). The choice is a rule over the shape, not a timing, so that it
// is the same in every run: a resumed run must add in the same order. Measured on two cores of a Zen 4 server (peak 236
// GFLOP/s), oneDNN 2.6, factors from memory, GFLOP/s of [oneDNN, own]; `^T` as in MatmulShape:
//   [4096 x 2560] x [1024 x 2560]^T             210, 208
//   [576 x 1024] x [1024 x 1024]                202, 190
//   [48 x 4096] x [4096 x 1024]                 128, 189   (the factor is packed on the way, tile.h)
//   [48 x 1024] x [4096 x 1024]^T               161, 168
//   [96 x 512] x [512 x 1024], batch of 8       161, 200
// Gradients of large weights go past the caches (packed_operand.h): [48 x 1024]^T x [48 x 4096] 150 in oneDNN, 171 so.
#include "runtime/matmul.h"
#include "runtime/cpu/onednn/binding.h"
#include "runtime/cpu/onednn/prepared.h"
#include "runtime/cpu/sharing_matmul.h"
#include "runtime/cpu/threads.h"
#include "runtime/cpu/vector.h"
#include "runtime/tally.h"

namespace bev {

namespace {

/// oneDNN has code for the machine at hand even where this program was compiled for any machine, with short vectors.
bool worth_the_library(const MatmulShape& s) {
  if (s.m == 0 || s.n == 0 || s.k == 0 || s.batch != 1) return false;
  return cpu::vector_bytes < 32 || (s.m > cpu::Blocking<cpu::Exact<float>>::rows && flop_of(s) >= 4e6);
}

class CpuMatmul final : public cpu::SharingMatmul<cpu::Exact<float>> {
 public:
  using Packed = cpu::PackedOperand<cpu::Exact<float>>;

  CpuMatmul() : SharingMatmul(cpu::vector_bytes >= 32) {}

 private:
  void multiply(const MatmulShape& shape, const float* a, const float* b, float* c, float alpha, bool accumulate,
                const float* bias) override {
    if (cpu::vector_bytes == 64 && Packed::passes_caches(shape, accumulate)) {
      return multiply_packed(shape, a, b, c, alpha, accumulate, bias);
    }
    if (alpha != 1 || !worth_the_library(shape)) {
      return cpu::block_matmul<cpu::Exact<float>>(shape, a, b, c, alpha, accumulate, bias);
    }
    const int64_t kind = shape.transpose_a + 2 * shape.transpose_b + 4 * accumulate + 8 * (bias != nullptr);
    onednn::Product& product =
        products_.get({shape.m, shape.n, shape.k, shape.lda, shape.ldb, shape.ldc, kind, cpu::max_threads()},
                      [&] { return onednn::Product(shape, accumulate, bias != nullptr); });
    product.run(a, b, c, bias, scratch_);
  }

  onednn::Prepared<onednn::Product, 8> products_;
  cpu::Scratch scratch_;
};

}  // namespace

std::unique_ptr<MatmulEngine> make_cpu_matmul() { return std::make_unique<CpuMatmul>(); }

}  // namespace bev
