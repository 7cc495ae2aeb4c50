#include "runtime/ops/pool.h"

#include "kernels/launch.h"
#include "kernels/pool.h"

namespace bev {

namespace {

PoolShape halved(const Variable& x) {
  return {.h = x.dim(1), .w = x.dim(2), .out_h = (x.dim(1) + 1) / 2, .out_w = (x.dim(2) + 1) / 2, .c = x.dim(3)};
}

Variable output(Context& context, const Variable& x, const PoolShape& shape) {
  return context.tape.output(context.empty({x.dim(0), shape.out_h, shape.out_w, shape.c}));
}

}  // namespace

Variable max_pool(Context& context, const Variable& x) {
  const PoolShape shape = halved(x);
  const Variable y = output(context, x, shape);
  const Tensor chosen = context.empty(y.shape(), DType::u8);
  visit_float(context.dtype, [&]<class T>(T) {
    const MaxPoolForward<T> kernel{
        .x = x.value().data<T>(), .y = y.value().data<T>(), .chosen = chosen.data<uint8_t>(), .shape = shape};
    for_rows(context.stream, y.size() / shape.c, shape.c, kernel);
  });
  context.tape.record("max_pool", y,
                      [&context, shape, chosen, pixels = x.size() / shape.c, d_x = x.gradient(), slot = y.gradient()] {
                        const Tensor d_y = Tape::take(slot);
                        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
                          visit_float(context.dtype, [&]<class T>(T) {
                            const MaxPoolBackward<T> kernel{.d_y = d_y.data<T>(),
                                                            .chosen = chosen.data<uint8_t>(),
                                                            .d_x = gradient.data<T>(),
                                                            .shape = shape,
                                                            .accumulate = accumulate};
                            for_rows(context.stream, pixels, shape.c, kernel);
                          });
                        });
                      });
  return y;
}

Variable average_pool(Context& context, const Variable& x) {
  const PoolShape shape = halved(x);
  const Variable y = output(context, x, shape);
  visit_float(context.dtype, [&]<class T>(T) {
    const AveragePoolForward<T> kernel{.x = x.value().data<T>(), .y = y.value().data<T>(), .shape = shape};
    for_rows(context.stream, y.size() / shape.c, shape.c, kernel);
  });
  context.tape.record(
      "average_pool", y, [&context, shape, pixels = x.size() / shape.c, d_x = x.gradient(), slot = y.gradient()] {
        const Tensor d_y = Tape::take(slot);
        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
          visit_float(context.dtype, [&]<class T>(T) {
            const AveragePoolBackward<T> kernel{
                .d_y = d_y.data<T>(), .d_x = gradient.data<T>(), .shape = shape, .accumulate = accumulate};
            for_rows(context.stream, pixels, shape.c, kernel);
          });
        });
      });
  return y;
}

}  // namespace bev
