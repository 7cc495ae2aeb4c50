// Convolutions by loops over blocks, in the element type: the reference for the libraries, the float64 body of the CPU,
// and its float body without oneDNN. For one row of the image and one tap (r, s) of the filters, each of the three
// directions is a product of a slice of pixels with a slice of filters, so all are sums of block products:
//   forward          y[n, p, q, :]  += x[n, h, w, :] W[:, r, s, :]^T        h = p stride - padding + r,
//   backward_data    d_x[n, h, w, :] += d_y[n, p, q, :] W[:, r, s, :]       w = q stride - padding + s
//   backward_filter  d_W[:, r, s, :] += d_y[n, p, :, :]^T x[n, h, ..., :]
// A task owns a piece of the result and sums in a fixed order: bits do not depend on the number of threads.
#include <algorithm>

#include "runtime/convolution.h"
#include "runtime/cpu/admit.h"
#include "runtime/cpu/block_product.h"
#include "runtime/tally.h"

namespace bev {

namespace {

struct Range {
  int64_t begin, end;
};

int64_t divide_up(int64_t a, int64_t b) { return a <= 0 ? -(-a / b) : (a + b - 1) / b; }  // b > 0

/// The outputs q in 0..outputs-1 for which q * stride + offset lies in `inputs`.
Range outputs_within(Range inputs, int64_t stride, int64_t offset, int64_t outputs) {
  const int64_t begin = std::clamp<int64_t>(divide_up(inputs.begin - offset, stride), 0, outputs);
  return {begin, std::clamp<int64_t>(divide_up(inputs.end - offset, stride), begin, outputs)};
}

template <class T>
class Convolution {
 public:
  explicit Convolution(const ConvolutionShape& shape) : shape_(shape), out_h_(shape.out_h()), out_w_(shape.out_w()) {}

  void forward(const T* x, const T* w, T* y) const {
    const int64_t rows = shape_.n * out_h_;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) forward_row(row / out_h_, row % out_h_, x, w, y);
  }

  void backward_data(const T* d_y, const T* w, T* d_x, bool accumulate) const {
    const int64_t rows = shape_.n * shape_.h;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) data_row(row / shape_.h, row % shape_.h, d_y, w, d_x, accumulate);
  }

  void backward_filter(const T* x, const T* d_y, T* d_w, bool accumulate) const {
    constexpr int64_t length = 128;
    const int64_t across = (shape_.c + length - 1) / length, down = (shape_.k + length - 1) / length;
    const int64_t tasks = shape_.r * shape_.s * down * across;
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < tasks; ++task) {
      const int64_t tap = task / (down * across), k = task / across % down * length, c = task % across * length;
      filter_block(tap / shape_.s, tap % shape_.s, {k, std::min(k + length, shape_.k)},
                   {c, std::min(c + length, shape_.c)}, x, d_y, d_w, accumulate);
    }
  }

 private:
  const T* filter(const T* w, int64_t r, int64_t s, int64_t c) const { return w + (r * shape_.s + s) * shape_.c + c; }
  int64_t filter_size() const { return shape_.r * shape_.s * shape_.c; }

  /// y[n, p, :, :].
  void forward_row(int64_t n, int64_t p, const T* x, const T* w, T* y) const {
    const int64_t stride = shape_.stride, padding = shape_.padding;
    T* out = y + (n * out_h_ + p) * out_w_ * shape_.k;
    std::fill_n(out, out_w_ * shape_.k, T{0});
    for (int64_t r = 0; r < shape_.r; ++r) {
      const int64_t h = p * stride - padding + r;
      if (h < 0 || h >= shape_.h) continue;
      for (int64_t s = 0; s < shape_.s; ++s) {
        const Range q = outputs_within({0, shape_.w}, stride, s - padding, out_w_);
        const T* pixels = x + ((n * shape_.h + h) * shape_.w + q.begin * stride - padding + s) * shape_.c;
        cpu::multiply<cpu::Exact<T>>(q.end - q.begin, shape_.k, shape_.c, {pixels, stride * shape_.c, 1},
                                     {filter(w, r, s, 0), 1, filter_size()}, out + q.begin * shape_.k, shape_.k,
                                     {.accumulate = true});
      }
    }
  }

  /// d_x[n, h, :, :].
  void data_row(int64_t n, int64_t h, const T* d_y, const T* w, T* d_x, bool accumulate) const {
    const int64_t stride = shape_.stride, padding = shape_.padding;
    T* out = d_x + (n * shape_.h + h) * shape_.w * shape_.c;
    if (!accumulate) std::fill_n(out, shape_.w * shape_.c, T{0});
    for (int64_t r = 0; r < shape_.r; ++r) {
      const Range p = outputs_within({h, h + 1}, stride, r - padding, out_h_);
      if (p.begin >= p.end) continue;
      for (int64_t s = 0; s < shape_.s; ++s) {
        const Range q = outputs_within({0, shape_.w}, stride, s - padding, out_w_);
        const T* pixels = d_y + ((n * out_h_ + p.begin) * out_w_ + q.begin) * shape_.k;
        cpu::multiply<cpu::Exact<T>>(
            q.end - q.begin, shape_.c, shape_.k, {pixels, shape_.k, 1}, {filter(w, r, s, 0), filter_size(), 1},
            out + (q.begin * stride - padding + s) * shape_.c, stride * shape_.c, {.accumulate = true});
      }
    }
  }

  /// d_W[k, r, s, c] for the given k and c.
  void filter_block(int64_t r, int64_t s, Range k, Range c, const T* x, const T* d_y, T* d_w, bool accumulate) const {
    const int64_t stride = shape_.stride, padding = shape_.padding;
    const Range p = outputs_within({0, shape_.h}, stride, r - padding, out_h_);
    const Range q = outputs_within({0, shape_.w}, stride, s - padding, out_w_);
    T* out = d_w + k.begin * filter_size() + (r * shape_.s + s) * shape_.c + c.begin;
    if (!accumulate) {
      for (int64_t i = 0; i < k.end - k.begin; ++i) std::fill_n(out + i * filter_size(), c.end - c.begin, T{0});
    }
    for (int64_t n = 0; n < shape_.n; ++n) {
      for (int64_t row = p.begin; row < p.end; ++row) {
        const int64_t h = row * stride - padding + r, first = q.begin * stride - padding + s;
        const T* pixels = d_y + ((n * out_h_ + row) * out_w_ + q.begin) * shape_.k + k.begin;
        const T* inputs = x + ((n * shape_.h + h) * shape_.w + first) * shape_.c + c.begin;
        cpu::multiply<cpu::Exact<T>>(k.end - k.begin, c.end - c.begin, q.end - q.begin, {pixels, 1, shape_.k},
                                     {inputs, stride * shape_.c, 1}, out, filter_size(), {.accumulate = true});
      }
    }
  }

  const ConvolutionShape& shape_;
  int64_t out_h_, out_w_;
};

class PlainConvolution : public ConvolutionEngine {
 public:
  void forward(const Stream& stream, DType type, const ConvolutionShape& shape, const void* x, const void* w,
               void* y) override {
    on_host(stream, type, shape, 0, [&]<class T>(T) {
      Convolution<T>(shape).forward(static_cast<const T*>(x), static_cast<const T*>(w), static_cast<T*>(y));
    });
  }
  void backward_data(const Stream& stream, DType type, const ConvolutionShape& shape, const void* d_y, const void* w,
                     void* d_x, double beta) override {
    on_host(stream, type, shape, beta, [&]<class T>(T) {
      Convolution<T>(shape).backward_data(static_cast<const T*>(d_y), static_cast<const T*>(w), static_cast<T*>(d_x),
                                          beta != 0);
    });
  }
  void backward_filter(const Stream& stream, DType type, const ConvolutionShape& shape, const void* x, const void* d_y,
                       void* d_w, double beta) override {
    on_host(stream, type, shape, beta, [&]<class T>(T) {
      Convolution<T>(shape).backward_filter(static_cast<const T*>(x), static_cast<const T*>(d_y), static_cast<T*>(d_w),
                                            beta != 0);
    });
  }

 private:
  template <class Body>
  static void on_host(const Stream& stream, DType type, const ConvolutionShape& shape, double beta, const Body& body) {
    cpu::require_valid(shape, beta);
    if (tallied(stream, shape)) return;
    cpu::require_host(stream, "a convolution");
    visit_float(type, body);
  }
};

}  // namespace

std::unique_ptr<ConvolutionEngine> make_plain_convolution() { return std::make_unique<PlainConvolution>(); }

}  // namespace bev
