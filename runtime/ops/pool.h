// Pooling of NHWC images as ops (kernels/pool.h).
#pragma once

#include "runtime/context.h"

namespace bev {

/// The maximum over 3x3 windows, stride 2, padding 1: x [n, h, w, c], y [n, (h + 1) / 2, (w + 1) / 2, c]. Saves which
/// element was chosen, a byte for each of y.
Variable max_pool(Context& context, const Variable& x);

/// The mean over 2x2 windows, stride 2, of what lies inside the image: the same shapes as max_pool's. Saves nothing.
Variable average_pool(Context& context, const Variable& x);

}  // namespace bev
