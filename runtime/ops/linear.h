// The Linear layer as an op: y = x W^T + b.
#pragma once

#include "runtime/context.h"

namespace bev {

/// x [..., in], weight [out, in] (or a filter [out, 1, 1, in]), bias [out] or null; y [..., out].
Variable linear(Context& context, const Variable& x, Parameter& weight, Parameter* bias);

/// Adds dy^T x to the gradient of `weight` and the column sums of dy to that of `bias` (may be null): the weight
/// gradients of a Linear layer with inputs x [rows, in] and output gradient dy [rows, out]. Each parameter's use must
/// have been announced.
void add_linear_weight_gradients(Context& context, const Tensor& x, const Tensor& d_y, Parameter& weight,
                                 Parameter* bias);

/// Adds to `d_bias` [cols], or overwrites it with, the sums over the rows of x [rows, cols].
void sum_rows(Context& context, const Tensor& x, int64_t rows, int64_t cols, const Tensor& d_bias, bool accumulate);

}  // namespace bev
