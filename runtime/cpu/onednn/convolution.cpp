// Convolutions on the CPU: float in oneDNN, double in the plain loops. oneDNN overwrites its results; where a gradient
// is to be added to, it is computed beside, and added in pieces that are still in the cache.
#include "runtime/convolution.h"

#include <algorithm>

#include "runtime/cpu/admit.h"
#include "runtime/cpu/onednn/binding.h"
#include "runtime/cpu/onednn/prepared.h"
#include "runtime/cpu/threads.h"
#include "runtime/tally.h"

namespace bev {

namespace {

using onednn::Direction;

void add(const float* terms, int64_t count, float* sums) {
#pragma omp parallel for simd schedule(static) if (count >= 65536)
  for (int64_t i = 0; i < count; ++i) sums[i] += terms[i];
}

/// Of how many images at a time a gradient is computed that is added to: a divisor of their number; a mebibyte of them,
/// but at least an image a thread.
int64_t images_at_once(const ConvolutionShape& s) {
  const int64_t bytes = s.h * s.w * s.c * static_cast<int64_t>(sizeof(float));
  int64_t images = std::min(s.n, std::max<int64_t>(cpu::max_threads(), (int64_t{1} << 20) / bytes));
  while (s.n % images != 0) ++images;
  return images;
}

class CpuConvolution : public ConvolutionEngine {
 public:
  void forward(const Stream& stream, DType type, const ConvolutionShape& shape, const void* x, const void* w,
               void* y) override {
    if (done(stream, type, shape, 0)) return;
    if (type != DType::f32) return plain_->forward(stream, type, shape, x, w, y);
    run(Direction::forward, shape, x, w, static_cast<float*>(y));
  }

  void backward_data(const Stream& stream, DType type, const ConvolutionShape& shape, const void* d_y, const void* w,
                     void* d_x, double beta) override {
    if (done(stream, type, shape, beta)) return;
    if (type != DType::f32) return plain_->backward_data(stream, type, shape, d_y, w, d_x, beta);
    if (beta == 0) return run(Direction::backward_data, shape, d_y, w, static_cast<float*>(d_x));
    ConvolutionShape part = shape;
    part.n = images_at_once(shape);
    const int64_t d_y_size = part.n * shape.out_h() * shape.out_w() * shape.k;
    const int64_t d_x_size = part.n * shape.h * shape.w * shape.c;
    auto* terms = static_cast<float*>(terms_.get(static_cast<size_t>(d_x_size) * sizeof(float)));
    for (int64_t i = 0; i < shape.n / part.n; ++i) {
      run(Direction::backward_data, part, static_cast<const float*>(d_y) + i * d_y_size, w, terms);
      add(terms, d_x_size, static_cast<float*>(d_x) + i * d_x_size);
    }
  }

  void backward_filter(const Stream& stream, DType type, const ConvolutionShape& shape, const void* x, const void* d_y,
                       void* d_w, double beta) override {
    if (done(stream, type, shape, beta)) return;
    if (type != DType::f32) return plain_->backward_filter(stream, type, shape, x, d_y, d_w, beta);
    if (beta == 0) return run(Direction::backward_filter, shape, x, d_y, static_cast<float*>(d_w));
    const int64_t size = shape.k * shape.r * shape.s * shape.c;
    auto* terms = static_cast<float*>(terms_.get(static_cast<size_t>(size) * sizeof(float)));
    run(Direction::backward_filter, shape, x, d_y, terms);
    add(terms, size, static_cast<float*>(d_w));
  }

 private:
  /// Checks the call; true if nothing is to be computed.
  static bool done(const Stream& stream, DType type, const ConvolutionShape& shape, double beta) {
    cpu::require_valid(shape, beta);
    if (tallied(stream, shape)) return true;
    cpu::require_host(stream, "a convolution");
    visit_float(type, []<class T>(T) {});
    return false;
  }

  void run(Direction direction, const ConvolutionShape& s, const void* first, const void* second, float* result) {
    onednn::Convolution& convolution = convolutions_.get(
        {static_cast<int64_t>(direction), s.n, s.h, s.w, s.c, s.k, s.r, s.s, s.stride, s.padding, cpu::max_threads()},
        [&] { return onednn::Convolution(s, direction); });
    convolution.run(static_cast<const float*>(first), static_cast<const float*>(second), result, scratch_, filters_);
  }

  std::unique_ptr<ConvolutionEngine> plain_ = make_plain_convolution();
  onednn::Prepared<onednn::Convolution, 11> convolutions_;
  cpu::Scratch scratch_, filters_, terms_;
};

}  // namespace

std::unique_ptr<ConvolutionEngine> make_cpu_convolution() { return std::make_unique<CpuConvolution>(); }

}  // namespace bev
