#include "runtime/ops/image.h"

#include "kernels/image.h"
#include "kernels/launch.h"

namespace bev {

namespace {

template <class T, class Stored>
void convert(Context& context, const Tensor& images, const ImageNormalisation& normalisation, const Tensor& out) {
  ImageChannelsLast<T, Stored> kernel{.in = images.data<Stored>(),
                                      .out = out.data<T>(),
                                      .factor = {1, 1, 1},
                                      .offset = {0, 0, 0},
                                      .h = images.dim(2),
                                      .w = images.dim(3)};
  if constexpr (sizeof(Stored) == 1) {
    for (size_t c = 0; c < 3; ++c) {
      kernel.factor[c] = static_cast<T>(1 / (255 * normalisation.deviation[c]));
      kernel.offset[c] = static_cast<T>(-normalisation.mean[c] / normalisation.deviation[c]);
    }
  }
  for_rows(context.stream, images.dim(0) * images.dim(2), images.dim(3), kernel);
}

}  // namespace

Tensor channels_last(Context& context, const Tensor& images, const ImageNormalisation& normalisation) {
  if (images.shape().rank() != 4 || images.dim(1) != 3)
    fail(ErrorKind::runtime, "images of shape {}: expected [images, 3, height, width]", images.shape().text());
  const Tensor out = context.empty({images.dim(0), images.dim(2), images.dim(3), 4});
  visit_float(context.dtype, [&]<class T>(T) {
    if (images.dtype() == DType::u8) return convert<T, uint8_t>(context, images, normalisation, out);
    if (images.dtype() == context.dtype) return convert<T, T>(context, images, normalisation, out);
    if constexpr (sizeof(T) > sizeof(float)) {
      if (images.dtype() == DType::f32) return convert<T, float>(context, images, normalisation, out);
    }
    fail(ErrorKind::runtime, "images of type {}: expected U8 or {}", name_of(images.dtype()), name_of(context.dtype));
  });
  return out;
}

}  // namespace bev
