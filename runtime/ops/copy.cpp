#include "runtime/ops/copy.h"

#include "kernels/launch.h"

namespace bev {

void fill(Context& context, const Tensor& out, double value) {
  visit_float(context.dtype, [&]<class T>(T) {
    for_elements(context.stream, out.size(), Fill<T>{.out = out.data<T>(), .value = static_cast<T>(value)});
  });
}

void copy_rows(Context& context, int64_t outer, int64_t inner, int64_t width, const RowGrid& from, const RowGrid& to,
               bool accumulate) {
  visit_float(context.dtype, [&]<class T>(T) {
    const CopyRows<T> kernel{.x = from.tensor.data<T>() + from.first,
                             .y = to.tensor.data<T>() + to.first,
                             .width = width,
                             .inner = inner,
                             .x_outer = from.outer,
                             .x_inner = from.inner,
                             .y_outer = to.outer,
                             .y_inner = to.inner,
                             .accumulate = accumulate};
    for_rows(context.stream, outer * inner, width, kernel);
  });
}

void pass_gradient(Context& context, const Gradient& input, const Tensor& d) {
  if (context.tape.adopt(input, d)) return;
  context.tape.add(input, [&](const Tensor& gradient, bool accumulate) {
    const int64_t width = d.dim(-1), rows = d.size() / width;
    copy_rows(context, rows, 1, width, {d, 0, width, 0}, {gradient, 0, width, 0}, accumulate);
  });
}

}  // namespace bev
