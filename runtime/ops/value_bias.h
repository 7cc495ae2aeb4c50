// The value bias of attention whose values are projected behind the weighted sum, or without it: it carries the row
// sums of the dropped probabilities (restated in kernels/absorbed_heads.h). Shared by the ops of many_key_attention.h.
#pragma once

#include "runtime/ops/many_key_attention.h"

namespace bev {

/// Fills `y` [..., E] with the bias, for a product to add to. Returns whether there is one.
bool start_with_bias(Context& context, const ValueBias& bias, int64_t heads, const Tensor& y);
/// The gradients of the bias and of the row sums.
void add_bias_gradients(Context& context, const ValueBias& bias, int64_t heads, const Tensor& d_y);

}  // namespace bev
