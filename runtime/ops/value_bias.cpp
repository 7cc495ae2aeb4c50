#include "runtime/ops/value_bias.h"

#include "kernels/absorbed_heads.h"
#include "kernels/launch.h"

namespace bev {

bool start_with_bias(Context& context, const ValueBias& bias, int64_t heads, const Tensor& y) {
  if (!bias.bias) return false;
  const int64_t width = bias.bias->size();
  visit_float(context.dtype, [&]<class T>(T) {
    const SpreadValueBias<T> kernel{.sums = bias.sums.defined() ? bias.sums.value().data<T>() : nullptr,
                                    .bias = bias.bias->value.data<T>(),
                                    .y = y.data<T>(),
                                    .heads = heads,
                                    .slice = width / heads};
    for_rows(context.stream, y.size() / width, width, kernel);
  });
  context.tape.use(*bias.bias);
  return true;
}

void add_bias_gradients(Context& context, const ValueBias& bias, int64_t heads, const Tensor& d_y) {
  if (!bias.bias) return;
  const int64_t width = bias.bias->size(), rows = d_y.size() / width, slice = width / heads;
  visit_float(context.dtype, [&]<class T>(T) {
    if (bias.sums.defined()) {
      context.tape.add(bias.sums.gradient(), [&](const Tensor& gradient, bool accumulate) {
        const ValueBiasRowGradient<T> kernel{.d_y = d_y.data<T>(),
                                             .bias = bias.bias->value.data<T>(),
                                             .d_sums = gradient.data<T>(),
                                             .heads = heads,
                                             .slice = slice,
                                             .accumulate = accumulate};
        for_rows(context.stream, rows * heads, slice, kernel);
      });
    }
    context.tape.add(*bias.bias, [&](const Tensor& gradient, bool accumulate) {
      using Kernel = ValueBiasGradient<T>;
      const Tensor workspace = context.empty({columns_workspace<Kernel>(rows, width)});
      const Kernel kernel{.d_y = d_y.data<T>(),
                          .row_sums = bias.sums.defined() ? bias.sums.value().data<T>() : nullptr,
                          .d_bias = gradient.data<T>(),
                          .heads = heads,
                          .slice = slice,
                          .accumulate = accumulate};
      for_columns(context.stream, rows, width, workspace.data<T>(), kernel);
    });
  });
}

}  // namespace bev
