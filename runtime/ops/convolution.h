// 2-D convolution of NHWC images as an op (runtime/convolution.h).
#pragma once

#include "runtime/context.h"

namespace bev {

/// x [n, h, w, c], filter [k, r, s, c], no bias; y [n, (h + 2 padding - r) / stride + 1, ..., k]. x may have more
/// channels than the filter, which then ignores them: so images are padded to what convolutions are fast at. Filters of
/// 1x1 with stride 1 are matrix products.
Variable convolution(Context& context, const Variable& x, Parameter& filter, int64_t stride, int64_t padding);

/// Lends the convolution that is called next, in this direction, the workspace that its engine wants, from the
/// arena; to be held until that call has been made.
Tensor lend_workspace(Context& context, ConvolutionDirection direction, const ConvolutionShape& shape);

}  // namespace bev
