// RMS normalisation of attention heads, with or without a weight and rotary position embedding (kernels/head_norm.h).
#pragma once

#include "runtime/context.h"

namespace bev {

/// x [..., heads * width]; weight [width] or null. `positions` > 0: rotary embedding, with the position of a token
/// being its index in memory order modulo `positions`. `into`: memory for the output.
Variable head_norm(Context& context, const Variable& x, Parameter* weight, int64_t heads, int64_t positions = 0,
                   const Tensor& into = {});

}  // namespace bev
