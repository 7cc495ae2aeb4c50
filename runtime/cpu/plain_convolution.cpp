// Convolutions by loops over blocks, in the element type: the reference for the libraries, the float64 body of the CPU,
// and its float body without oneDNN. For one row of the image and one tap (r, s) of the filters, each of the three
// directions is a product of a slice of pixels with a slice of filters, so all are sums of block products:
//   forward          y[n, p, q, :]  += x[n, h, w, :] W[:, r, s, :]^T        h = p stride - padding + r,
//   backward_data    d_x[n, h, w, :] += d_y[n, p, q, :] W[:, r, s, :]       w = q stride - padding + s
//   backward_filter  d_W[:, r, s, :] += d_y[n, p, :, :]^T x[n, h, ..., :]
// A task owns a block of the result and sums in a fixed order: the result does not depend on the number of threads.
#include <algorithm>

#include "runtime/convolution.h"
#include "runtime/cpu/admit.h"
#include "runtime/cpu/block_product.h"
#include "runtime/tally.h"

namespace bev {

namespace {

using cpu::Block;
using cpu::Operand;

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
    for (int64_t row = 0; row < rows; ++row) {
      over_blocks(out_w_, shape_.k, [&](Range pixels, Range channels) {
        forward_block(row / out_h_, row % out_h_, pixels, channels, x, w, y);
      });
    }
  }

  void backward_data(const T* d_y, const T* w, T* d_x, bool accumulate) const {
    const int64_t rows = shape_.n * shape_.h;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; ++row) {
      over_blocks(shape_.w, shape_.c, [&](Range pixels, Range channels) {
        data_block(row / shape_.h, row % shape_.h, pixels, channels, d_y, w, d_x, accumulate);
      });
    }
  }

  void backward_filter(const T* x, const T* d_y, T* d_w, bool accumulate) const {
    const int64_t across = blocks(shape_.c, Block<T>::columns), down = blocks(shape_.k, Block<T>::rows);
    const int64_t tasks = shape_.r * shape_.s * down * across;
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < tasks; ++task) {
      const int64_t tap = task / (down * across);
      filter_block(tap / shape_.s, tap % shape_.s, block(task / across % down, Block<T>::rows, shape_.k),
                   block(task % across, Block<T>::columns, shape_.c), x, d_y, d_w, accumulate);
    }
  }

 private:
  static int64_t blocks(int64_t size, int64_t length) { return (size + length - 1) / length; }
  static Range block(int64_t index, int64_t length, int64_t size) {
    return {index * length, std::min(size, (index + 1) * length)};
  }

  template <class Body>
  static void over_blocks(int64_t pixels, int64_t channels, const Body& body) {
    for (int64_t i = 0; i < blocks(pixels, Block<T>::rows); ++i) {
      for (int64_t j = 0; j < blocks(channels, Block<T>::columns); ++j) {
        body(block(i, Block<T>::rows, pixels), block(j, Block<T>::columns, channels));
      }
    }
  }

  /// Writes a block to rows that lie `row` elements apart.
  static void write(const Block<T>& total, int64_t rows, int64_t columns, T* out, int64_t row, bool accumulate) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        out[i * row + j] = accumulate ? out[i * row + j] + total.sum[i][j] : total.sum[i][j];
      }
    }
  }

  const T* filter(const T* w, int64_t k, int64_t r, int64_t s, int64_t c) const {
    return w + ((k * shape_.r + r) * shape_.s + s) * shape_.c + c;
  }
  int64_t filter_size() const { return shape_.r * shape_.s * shape_.c; }

  void forward_block(int64_t n, int64_t p, Range q, Range k, const T* x, const T* w, T* y) const {
    const int64_t stride = shape_.stride, padding = shape_.padding;
    Block<T> total;
    total.clear(q.end - q.begin);
    for (int64_t r = 0; r < shape_.r; ++r) {
      const int64_t h = p * stride - padding + r;
      if (h < 0 || h >= shape_.h) continue;
      for (int64_t s = 0; s < shape_.s; ++s) {
        const Range inside = outputs_within({0, shape_.w}, stride, s - padding, out_w_);
        const Range part{std::max(q.begin, inside.begin), std::min(q.end, inside.end)};
        if (part.begin >= part.end) continue;
        const T* pixels = x + ((n * shape_.h + h) * shape_.w + part.begin * stride - padding + s) * shape_.c;
        cpu::add_product(part.end - part.begin, k.end - k.begin, shape_.c, Operand<T>{pixels, stride * shape_.c, 1},
                         Operand<T>{filter(w, k.begin, r, s, 0), 1, filter_size()}, total.sum[part.begin - q.begin],
                         Block<T>::columns);
      }
    }
    write(total, q.end - q.begin, k.end - k.begin, y + ((n * out_h_ + p) * out_w_ + q.begin) * shape_.k + k.begin,
          shape_.k, false);
  }

  void data_block(int64_t n, int64_t h, Range w_range, Range c, const T* d_y, const T* w, T* d_x,
                  bool accumulate) const {
    const int64_t stride = shape_.stride, padding = shape_.padding;
    Block<T> total;
    total.clear(w_range.end - w_range.begin);
    for (int64_t r = 0; r < shape_.r; ++r) {
      const Range rows = outputs_within({h, h + 1}, stride, r - padding, out_h_);
      if (rows.begin >= rows.end) continue;
      for (int64_t s = 0; s < shape_.s; ++s) {
        const Range q = outputs_within(w_range, stride, s - padding, out_w_);
        if (q.begin >= q.end) continue;
        const T* pixels = d_y + ((n * out_h_ + rows.begin) * out_w_ + q.begin) * shape_.k;
        cpu::add_product(q.end - q.begin, c.end - c.begin, shape_.k, Operand<T>{pixels, shape_.k, 1},
                         Operand<T>{filter(w, 0, r, s, c.begin), filter_size(), 1},
                         total.sum[q.begin * stride - padding + s - w_range.begin], stride * Block<T>::columns);
      }
    }
    write(total, w_range.end - w_range.begin, c.end - c.begin,
          d_x + ((n * shape_.h + h) * shape_.w + w_range.begin) * shape_.c + c.begin, shape_.c, accumulate);
  }

  void filter_block(int64_t r, int64_t s, Range k, Range c, const T* x, const T* d_y, T* d_w, bool accumulate) const {
    const int64_t stride = shape_.stride, padding = shape_.padding;
    const Range p = outputs_within({0, shape_.h}, stride, r - padding, out_h_);
    const Range q = outputs_within({0, shape_.w}, stride, s - padding, out_w_);
    Block<T> total;
    total.clear(k.end - k.begin);
    for (int64_t n = 0; n < shape_.n; ++n) {
      for (int64_t row = p.begin; row < p.end; ++row) {
        const int64_t h = row * stride - padding + r, first = q.begin * stride - padding + s;
        const T* pixels = d_y + ((n * out_h_ + row) * out_w_ + q.begin) * shape_.k + k.begin;
        cpu::add_product(
            k.end - k.begin, c.end - c.begin, q.end - q.begin, Operand<T>{pixels, 1, shape_.k},
            Operand<T>{x + ((n * shape_.h + h) * shape_.w + first) * shape_.c + c.begin, stride * shape_.c, 1},
            total.sum[0], Block<T>::columns);
      }
    }
    T* out = d_w + k.begin * filter_size() + (r * shape_.s + s) * shape_.c + c.begin;
    write(total, k.end - k.begin, c.end - c.begin, out, filter_size(), accumulate);
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
