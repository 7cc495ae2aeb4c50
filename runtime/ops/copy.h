// Copies on a context's stream: the small moves of data that ops share.
#pragma once

#include "kernels/copy.h"
#include "runtime/context.h"

namespace bev {

void fill(Context& context, const Tensor& out, double value);

/// Where the rows of one side of a copy start, and the distances between them, in elements.
struct RowGrid {
  Tensor tensor;
  int64_t first, outer, inner;
};

/// Copies outer x inner rows of `width` elements (kernels/copy.h).
void copy_rows(Context& context, int64_t outer, int64_t inner, int64_t width, const RowGrid& from, const RowGrid& to,
               bool accumulate = false);

/// Hands `d`, the gradient that an op has taken for its output, on to an input unchanged: the input takes it over if it
/// has none yet. The op must have read it for the last time.
void pass_gradient(Context& context, const Gradient& input, const Tensor& d);

}  // namespace bev
