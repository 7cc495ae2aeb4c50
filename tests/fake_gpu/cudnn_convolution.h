// A convolution of the pretended cuDNN: three tensors of any strides, and what an engine does to them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fake_gpu/products.h"

namespace bev::fake_gpu {

struct CudnnTensor {
  int64_t id = 0, alignment = 1;
  std::array<int64_t, 4> size = {}, stride = {};  // n, c, h, w; filters: k, c, r, s

  int64_t elements() const { return size[0] * size[1] * size[2] * size[3]; }
  int64_t extent() const;  // elements from the first to the last
};

struct CudnnConvolution {
  enum Direction : int64_t { forward, backward_data, backward_filter };

  int64_t direction = forward;
  CudnnTensor x, w, y;
  std::array<int64_t, 2> before = {}, after = {}, step = {1, 1}, dilation = {1, 1};
  float alpha = 1, beta = 0;
  // Of the engine:
  Rounding rounding = Rounding::none;
  bool repeats = true;   // gives the same bits every time
  bool refuses = false;  // is offered, and does not run
  int64_t engine = 0, workspace = 0;

  const CudnnTensor& result() const { return direction == forward ? y : direction == backward_data ? x : w; }
  std::string text() const;
  /// One line without '|', and back.
  std::string written() const;
  static std::optional<CudnnConvolution> read(const std::string& line);
};

/// Computes on memory that may be read and written now.
void compute(const CudnnConvolution& convolution, float* x, float* w, float* y);

}  // namespace bev::fake_gpu
