// Layer normalisation as an op, with optional modulation per sample (kernels/layer_norm.h).
#pragma once

#include "runtime/context.h"

namespace bev {

/// Shift and scale of adaptive layer norm, [samples, width] each.
struct Modulation {
  Variable shift, scale;
};

/// y = LN(x) over the last dimension of x [..., width], times `gamma` plus `beta` ([width] each). With a modulation, x
/// is [samples, rows, width] and y = LN(x) (1 + scale) + shift, the same for all rows of a sample. `into`: memory for
/// y.
Variable layer_norm(Context& context, const Variable& x, Parameter& gamma, Parameter& beta,
                    const Modulation* modulation = nullptr, double eps = 1e-5, const Tensor& into = {});

}  // namespace bev
