// 2-D convolution without bias, the second of the two operations left to libraries. Activations are NHWC, filters KRSC
// (out channels, height, width, in channels): the layouts in which both oneDNN and cuDNN are fastest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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

enum class ConvolutionDirection : uint8_t { forward, backward_data, backward_filter };
constexpr const char* name_of(ConvolutionDirection direction) {
  return direction == ConvolutionDirection::forward         ? "forward"
         : direction == ConvolutionDirection::backward_data ? "backward to its input"
                                                            : "backward to its filters";
}

/// How much memory a convolution may ask for to work in.
struct WorkspaceLimit {
  int64_t bytes = int64_t{1} << 30;
  /// False: a convolution that would have to do without tensor cores may ask for more, as much as takes it back to
  /// them. (TF32 kernels of compute capability 8 read copies of their inputs, which lie in the workspace.)
  bool firm = false;
};

/// What the limit means for the convolutions that workspace() has been asked about.
struct WorkspaceReport {
  int64_t largest = 0;              // bytes that one of them wants
  std::vector<std::string> losses;  // a line for each that the limit keeps from being as fast as it might
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

  // What a library works in beside operands is the caller's: it asks, takes the memory from its arena, where the memory
  // plan sees it, lends it to one call and gives it back behind it.

  /// Bytes that such a call wants, whatever its beta, the same every time as long as the limit is; 0 where engines
  /// bring their own. Computes nothing.
  virtual int64_t workspace(ConvolutionDirection, const ConvolutionShape&) { return 0; }
  /// Lends the next call, and that alone, what workspace() said.
  virtual void lend(void* /*memory*/, int64_t /*bytes*/) {}
  virtual void limit_workspace(const WorkspaceLimit&) {}
  virtual WorkspaceReport workspace_report() const { return {}; }
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
