// A gated residual and the modulated layer norm behind it, as one op (kernels/residual_norm.h): the step from one part
// of a decoder layer to the next.
#pragma once

#include "runtime/ops/layer_norm.h"

namespace bev {

/// A value of the residual stream, and what the next part of the layer sees of it.
struct NormedSum {
  Variable sum, normed;
};

/// sum = x + gate * f and normed = LN(sum) (1 + scale) + shift: x and f [samples, rows, E], gate [samples, E];
/// otherwise as gated_residual() and layer_norm(). `normed` must be used. `into`: memory for it.
NormedSum gated_residual_norm(Context& context, const Variable& x, const Variable& gate, const Variable& f,
                              Parameter& gamma, Parameter& beta, const Modulation& modulation, const Tensor& into = {},
                              double eps = 1e-5);

}  // namespace bev
