// Sums along a residual stream (kernels/residual.h).
#pragma once

#include "runtime/context.h"

namespace bev {

/// y = x + gate * f. x [samples, x_rows, E], gate [samples, E], f and y [samples, rows, E] with `rows` a multiple of
/// x_rows: row r of f goes with row r modulo x_rows of x.
Variable gated_residual(Context& context, const Variable& x, const Variable& gate, const Variable& f);

/// u + gelu(g) for the last `kept` tokens: u and g [samples, tokens, E]; returns [samples, kept, E].
Variable add_gelu_of_last(Context& context, const Variable& u, const Variable& g, int64_t kept);

}  // namespace bev
