// Activations and dropout, fused where they follow one another (kernels/activation.h).
#pragma once

#include "runtime/context.h"

namespace bev {

enum class Activation : uint8_t { relu, gelu, silu };

/// y = dropout(f(x)), any shape; gelu is the exact one, x Phi(x). Dropout (p = 0: none) draws for samples = x.dim(0)
/// rows of the rest, only if context.training. Saves x (relu: y) and draws the mask again in backward. `into`:
/// memory for y.
Variable activate(Context& context, const Variable& x, Activation f, double dropout = 0, const Tensor& into = {});

/// y = dropout(x), the first dimension being samples. Returns x itself where nothing is dropped.
Variable dropout(Context& context, const Variable& x, double p);

/// y = residual + dropout(x), equal shapes, the first dimension being samples.
Variable add_dropout(Context& context, const Variable& residual, const Variable& x, double p = 0);

}  // namespace bev
