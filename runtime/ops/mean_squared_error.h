// The mean squared error as an op (kernels/diffusion.h).
#pragma once

#include "runtime/context.h"

namespace bev {

/// mean((prediction - target)^2) over all elements, as a scalar [1]; `target` is a constant of the prediction's shape.
Variable mean_squared_error(Context& context, const Variable& prediction, const Tensor& target);

}  // namespace bev
