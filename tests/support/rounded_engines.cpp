#include "tests/support/rounded_engines.h"

#include <bit>
#include <utility>
#include <vector>

#include "tests/support/matrix_extent.h"

namespace bev::test {

namespace {

struct Rounding {
  int drop;      // so many of the 23 bits of the significand
  bool nearest;  // of two the even one; else towards zero
};

constexpr Rounding one_bit_less{1, true};

Rounding rounding_of(Precision precision, Tf32Factors tf32) {
  switch (precision) {
    case Precision::tf32:
      return {13, tf32 == Tf32Factors::nearest};
    case Precision::bf16:
      return {16, true};
    case Precision::fp32:
      break;
  }
  return {0, true};
}

float rounded(float x, Rounding rounding) {
  const int drop = rounding.drop;
  if (drop == 0) return x;
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t half = rounding.nearest ? (uint32_t{1} << (drop - 1)) - 1 + (bits >> drop & 1) : 0;
  return std::bit_cast<float>((bits + half) >> drop << drop);
}

std::vector<float> rounded(const void* data, int64_t count, Rounding rounding) {
  const auto* numbers = static_cast<const float*>(data);
  std::vector<float> out(numbers, numbers + count);
  for (float& x : out) x = rounded(x, rounding);
  return out;
}

class RoundedMatmul final : public MatmulEngine {
 public:
  explicit RoundedMatmul(Rounding rounding) : rounding_(rounding), exact_(make_cpu_matmul()) {}

  void run(const Stream& stream, DType type, const MatmulShape& s, const void* a, const void* b, void* c, double alpha,
           double beta, const void* bias) override {
    if (type != DType::f32) fail(ErrorKind::runtime, "rounded products are of F32, not of {}", name_of(type));
    const auto left = rounded(
        a, matrix_extent(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.lda, s.batch, s.stride_a), rounding_);
    const auto right = rounded(
        b, matrix_extent(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.ldb, s.batch, s.stride_b), rounding_);
    exact_->run(stream, type, s, left.data(), right.data(), c, alpha, beta, bias);
  }

 private:
  Rounding rounding_;
  std::unique_ptr<MatmulEngine> exact_;
};

class RoundedConvolution final : public ConvolutionEngine {
 public:
  explicit RoundedConvolution(Rounding rounding) : rounding_(rounding), exact_(make_cpu_convolution()) {}

  void forward(const Stream& stream, DType type, const ConvolutionShape& s, const void* x, const void* w,
               void* y) override {
    exact_->forward(stream, type, s, image(s, x).data(), filter(s, w).data(), y);
  }
  void backward_data(const Stream& stream, DType type, const ConvolutionShape& s, const void* d_y, const void* w,
                     void* d_x, double beta) override {
    exact_->backward_data(stream, type, s, output(s, d_y).data(), filter(s, w).data(), d_x, beta);
  }
  void backward_filter(const Stream& stream, DType type, const ConvolutionShape& s, const void* x, const void* d_y,
                       void* d_w, double beta) override {
    exact_->backward_filter(stream, type, s, image(s, x).data(), output(s, d_y).data(), d_w, beta);
  }

 private:
  std::vector<float> image(const ConvolutionShape& s, const void* x) const {
    return rounded(x, s.n * s.h * s.w * s.c, rounding_);
  }
  std::vector<float> filter(const ConvolutionShape& s, const void* w) const {
    return rounded(w, s.k * s.r * s.s * s.c, rounding_);
  }
  std::vector<float> output(const ConvolutionShape& s, const void* y) const {
    return rounded(y, s.n * s.out_h() * s.out_w() * s.k, rounding_);
  }

  Rounding rounding_;
  std::unique_ptr<ConvolutionEngine> exact_;
};

}  // namespace

std::unique_ptr<MatmulEngine> make_rounded_matmul(Precision precision, Tf32Factors tf32) {
  return std::make_unique<RoundedMatmul>(rounding_of(precision, tf32));
}
std::unique_ptr<ConvolutionEngine> make_rounded_convolution(Precision precision, Tf32Factors tf32) {
  const Precision own = precision == Precision::bf16 ? Precision::tf32 : precision;
  return std::make_unique<RoundedConvolution>(rounding_of(own, tf32));
}

std::unique_ptr<MatmulEngine> make_shortened_matmul() { return std::make_unique<RoundedMatmul>(one_bit_less); }
std::unique_ptr<ConvolutionEngine> make_shortened_convolution() {
  return std::make_unique<RoundedConvolution>(one_bit_less);
}

}  // namespace bev::test
