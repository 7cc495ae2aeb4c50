// Matrix products on the CPU: float in oneDNN or, where they are too small or too thin for it, in the project's own
// blocks (block_product.h); double always in the latter. The choice is a rule over the shape, not a timing, so that it
// is the same in every run: a resumed run must add in the same order. Measured on one core of a Zen 4 server (peak 118
// GFLOP/s), oneDNN 2.6, GFLOP/s of [oneDNN, own]; `^T` as in MatmulShape:
//   [4096 x 2560] x [1024 x 2560]^T             109, 100
//   [960 x 4096]^T x [960 x 1024]               107,  98
//   [80 x 1024] x [1024 x 1024]^T               108, 101
//   [48 x 1024] x [64 x 1024]^T, heads of 16      31,  95   (oneDNN falls back to another body where rows have gaps)
//   [72 x 64] x [519 x 64]^T, heads of 16         70, 101
//   [8 x 96] x [96 x 96]^T                        61,  69   (and oneDNN wakes its team: 2 us more with 2 threads)
// Gradients of large weights go past the caches (packed_operand.h): [48 x 1024]^T x [48 x 4096] on two cores 150 in
// oneDNN, 171 so.
#include "runtime/matmul.h"
#include "runtime/cpu/onednn/binding.h"
#include "runtime/cpu/onednn/prepared.h"
#include "runtime/cpu/sharing_matmul.h"
#include "runtime/cpu/threads.h"
#include "runtime/cpu/vector.h"
#include "runtime/tally.h"

namespace bev {

namespace {

/// Whether oneDNN computes each member of the batch. It has code for the machine at hand even where this program was
/// compiled for any machine, with short vectors.
bool worth_the_library(const MatmulShape& s) {
  if (s.m == 0 || s.n == 0 || s.k == 0 || s.batch == 0) return false;
  if (cpu::vector_bytes < 32) return s.batch == 1;
  const double flop = flop_of(s) / static_cast<double>(s.batch);
  return s.batch == 1 ? s.m >= 16 && flop >= 4e6 : flop >= 5e7;
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
    for (int64_t member = 0; member < shape.batch; ++member) {
      product.run(a + member * shape.stride_a, b + member * shape.stride_b, c + member * shape.stride_c, bias,
                  scratch_);
    }
  }

  onednn::Prepared<onednn::Product, 8> products_;
  cpu::Scratch scratch_;
};

}  // namespace

std::unique_ptr<MatmulEngine> make_cpu_matmul() { return std::make_unique<CpuMatmul>(); }

}  // namespace bev
