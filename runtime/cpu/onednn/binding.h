// The one place that speaks oneDNN's API, in both of its forms: 2.x (Debian 12) and 3.x (newer Debian and Ubuntu). What
// leaves it are two prepared operations in the project's own terms. Preparing one is slow and allocates; running it
// does neither, but for the library's table of arguments. An operation belongs to one engine and remembers for how many
// threads it was prepared: not to be run with another number, nor by two threads at once.
#pragma once

#include <memory>

#include "runtime/convolution.h"
#include "runtime/cpu/scratch.h"
#include "runtime/matmul.h"

namespace bev::onednn {

/// A product of float matrices without batch or alpha: C = A B (+ C, if `accumulate`) (+ bias).
class Product {
 public:
  /// Throws Error naming the shape if the library refuses it.
  Product(const MatmulShape& shape, bool accumulate, bool bias);
  Product(Product&&) noexcept;
  ~Product();
  void run(const float* a, const float* b, float* c, const float* bias, cpu::Scratch& scratch);

 private:
  struct Body;
  std::unique_ptr<Body> body_;
};

enum class Direction : int { forward, backward_data, backward_filter };

/// One direction of a float convolution that overwrites its result; activations NHWC, filters KRSC, reordered from and
/// to the library's own layout on the way.
class Convolution {
 public:
  /// Throws Error naming the shape if the library refuses it.
  Convolution(const ConvolutionShape& shape, Direction direction);
  Convolution(Convolution&&) noexcept;
  ~Convolution();
  /// forward: x, w -> y; backward_data: d_y, w -> d_x; backward_filter: x, d_y -> d_w.
  void run(const float* first, const float* second, float* result, cpu::Scratch& scratch, cpu::Scratch& filters);

 private:
  struct Body;
  std::unique_ptr<Body> body_;
};

}  // namespace bev::onednn
