// Group normalisation of feature vectors as an op (kernels/group_norm.h).
#pragma once

#include "runtime/context.h"

namespace bev {

/// x [rows, features], gamma and beta [features]: `groups` groups of consecutive features, normalised one by one.
Variable group_norm(Context& context, const Variable& x, Parameter& gamma, Parameter& beta, int64_t groups,
                    double eps = 1e-5);

}  // namespace bev
