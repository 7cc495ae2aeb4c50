#include "runtime/ops/value_bias.h"

#include "kernels/absorbed_heads.h"
#include "kernels/launch.h"
#include "runtime/ops/linear.h"

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
  const int64_t width = bias.bias->size(), rows = d_y.size() / width;
  Tensor d_bias_rows = d_y;
  if (bias.sums.defined()) {
    if (!bias.sums.needs_gradient()) fail(ErrorKind::runtime, "{}: its row sums are constants", bias.bias->name);
    d_bias_rows = context.empty(d_y.shape());
    context.tape.add(bias.sums.gradient(), [&](const Tensor& gradient, bool accumulate) {
      visit_float(context.dtype, [&]<class T>(T) {
        const ValueBiasBackward<T> kernel{.d_y = d_y.data<T>(),
                                          .bias = bias.bias->value.data<T>(),
                                          .sums = bias.sums.value().data<T>(),
                                          .d_sums = gradient.data<T>(),
                                          .scaled = d_bias_rows.data<T>(),
                                          .heads = heads,
                                          .slice = width / heads,
                                          .accumulate = accumulate};
        for_rows(context.stream, rows * heads, width / heads, kernel);
      });
    });
  }
  context.tape.add(*bias.bias, [&](const Tensor& gradient, bool accumulate) {
    sum_rows(context, d_bias_rows, rows, width, gradient, accumulate);
  });
}

}  // namespace bev
