#include "tests/support/faulty_matmul.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "tests/support/matrix_extent.h"

namespace bev::test {

namespace {

constexpr int64_t terms = 16;      // of a sum that is then rounded
constexpr int64_t one_of = 100;    // products
constexpr int64_t the_first = 50;  // that is lost

float truncated(float x) { return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0xffff0000u); }

/// Of two the even one.
float rounded(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u);
}

std::vector<float> truncated(const void* data, int64_t count) {
  const auto* numbers = static_cast<const float*>(data);
  std::vector<float> out(numbers, numbers + count);
  for (float& x : out) x = truncated(x);
  return out;
}

class FaultyMatmul final : public MatmulEngine {
 public:
  explicit FaultyMatmul(Fault fault)
      : fault_(fault), inner_(fault == Fault::unrounded ? make_cpu_matmul() : make_cpu_bf16_matmul()) {}

  void run(const Stream& stream, DType type, const MatmulShape& s, const void* a, const void* b, void* c, double alpha,
           double beta, const void* bias) override {
    switch (fault_) {
      case Fault::truncated: {
        const auto left = truncated(
            a, matrix_extent(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.lda, s.batch, s.stride_a));
        const auto right = truncated(
            b, matrix_extent(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.ldb, s.batch, s.stride_b));
        return inner_->run(stream, type, s, left.data(), right.data(), c, alpha, beta, bias);
      }
      case Fault::narrow_sums:
        return in_narrow_sums(stream, type, s, static_cast<const float*>(a), static_cast<const float*>(b),
                              static_cast<float*>(c), alpha, beta, bias);
      case Fault::lost:
        if (calls_++ % one_of == the_first) alpha = 0;
        break;
      case Fault::none:
      case Fault::unrounded:
        break;
    }
    inner_->run(stream, type, s, a, b, c, alpha, beta, bias);
  }

 private:
  void in_narrow_sums(const Stream& stream, DType type, const MatmulShape& s, const float* a, const float* b, float* c,
                      double alpha, double beta, const void* bias) {
    for (int64_t k = 0; k < s.k; k += terms) {
      MatmulShape part = s;
      part.k = std::min(terms, s.k - k);
      inner_->run(stream, type, part, a + (s.transpose_a ? k * s.lda : k), b + (s.transpose_b ? k : k * s.ldb), c,
                  alpha, k > 0 ? 1 : beta, k > 0 ? nullptr : bias);
      for (int64_t member = 0; member < s.batch; ++member) {
        for (int64_t i = 0; i < s.m; ++i) {
          float* const row = c + member * s.stride_c + i * s.ldc;
          for (int64_t j = 0; j < s.n; ++j) row[j] = rounded(row[j]);
        }
      }
    }
  }

  Fault fault_;
  std::unique_ptr<MatmulEngine> inner_;
  int64_t calls_ = 0;
};

}  // namespace

std::unique_ptr<MatmulEngine> make_faulty_matmul(Fault fault) { return std::make_unique<FaultyMatmul>(fault); }

}  // namespace bev::test
