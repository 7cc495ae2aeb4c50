// 2-D convolution without bias, the second of the two operations left to libraries. Activations are NHWC, filters KRSC
// (out channels, height, width, in channels): the layouts in which both oneDNN and cuDNN are fastest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/stream.h"
#include "runtime/dtype.h"
#include "runtime/matmul.h"

namespace bev {

struct ConvolutionShape {
  int64_t n = 0, h = 0, w = 0, c = 0;  // input images, height, width, channels
  int64_t k = 0, r = 0, s = 0;         // filters, their height and width
  int64_t stride = 1, padding = 0;     // the same in both directions
  int64_t out_h() const { return (h + 2 * padding - r) / stride + 1; }
  int64_t out_w() const { return (w + 2 * padding - s) / stride + 1; }
  bool operator==(const ConvolutionShape&) const = default;
};

/// Does convolutions for one replica. Not thread-safe; asynchronous on `stream`. f32 everywhere, f64 on the CPU.
/// x [n, h, w, c], w [k, r, s, c], y [n, out_h, out_w, k]; `beta` is 0 or 1: whether the result is added to what is
/// there. Throws Error naming the shape if the library refuses it.
class ConvolutionEngine {
 public:
  virtual ~ConvolutionEngine() = default;
  virtual void forward(const Stream&, DType, const ConvolutionShape&, const void* x, const void* w, void* y) = 0;
  virtual void backward_data(const Stream&, DType, const ConvolutionShape&, const void* d_y, const void* w, void* d_x,
                             double beta) = 0;
  virtual void backward_filter(const Stream&, DType, const ConvolutionShape&, const void* x, const void* d_y, void* d_w,
                               double beta) = 0;
};

/// Direct loops in the element type: the reference. float and double, CPU only.
std::unique_ptr<ConvolutionEngine> make_plain_convolution();

/// oneDNN on the CPU, for float; double goes to the plain loops.
std::unique_ptr<ConvolutionEngine> make_cpu_convolution();

/// cuDNN (graph API, NHWC) on the current CUDA device; plans are chosen by timing, once a shape, and cached in
/// `cache_directory`.
std::unique_ptr<ConvolutionEngine> make_cuda_convolution(const Stream& stream, Precision precision,
                                                         const std::string& cache_directory);

}  // namespace bev
