// The image backbone: ResNet-18 in the variant D of He et al. 2019 (section 4.2: a stem of three 3x3 convolutions, and
// shortcuts that average before they project), on NHWC images. Parameter names are those of the checkpoint.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "runtime/ops/batch_norm.h"

namespace bev {

struct BackboneOptions {
  int64_t channels = 64;      // of the first stage: the stem has half, the last stage 8 times as many
  bool frozen = false;        // not trained: running statistics, no gradients
  bool synchronised = false;  // batch norm over the images of all replicas
};

/// A convolution and the batch norm behind it.
struct ConvolutionNorm {
  Parameter* filter;
  BatchNormParameters norm;
  int64_t stride, padding;
  bool frozen, synchronised;

  ConvolutionNorm(ParameterStore& store, const std::string& convolution_name, const std::string& norm_name, int64_t in,
                  int64_t out, int64_t size, int64_t stride, const BackboneOptions& options);
  Variable operator()(Context& context, const Variable& x, bool relu, const Variable* residual = nullptr) const;
};

/// Two 3x3 convolutions beside a shortcut, which halves the image where the first convolution does.
struct BasicBlock {
  ConvolutionNorm first, second;
  std::optional<ConvolutionNorm> projection;  // of the shortcut, where the block has stride 2

  BasicBlock(ParameterStore& store, const std::string& name, int64_t in, int64_t out, int64_t stride,
             const BackboneOptions& options);
  Variable operator()(Context& context, const Variable& x) const;
};

struct Backbone {
  ConvolutionNorm stem_0, stem_3, stem_6;
  std::array<std::array<BasicBlock, 2>, 4> stages;

  /// Throws Error(usage) if the number of channels is odd or not positive.
  Backbone(ParameterStore& store, const std::string& name, const BackboneOptions& options);

  /// images [n, h, w, 4] as of channels_last, sides multiples of 32; returns [n, h / 32, w / 32, 8 channels].
  Variable operator()(Context& context, const Tensor& images) const;
};

}  // namespace bev
