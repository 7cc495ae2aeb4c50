// Images from data sets, made ready for convolutions (kernels/image.h).
#pragma once

#include <array>

#include "runtime/context.h"

namespace bev {

/// Per channel: how a raster's [0, 1] is brought to zero mean and unit deviation.
struct ImageNormalisation {
  std::array<double, 3> mean, deviation;
};

/// images [n, 3, h, w] as [n, h, w, 4] of the context's type, the fourth channel zero. U8: 255 is 1, and the values are
/// normalised; the context's type or F32: normalised already. Throws Error for other types and shapes.
Tensor channels_last(Context& context, const Tensor& images, const ImageNormalisation& normalisation);

}  // namespace bev
