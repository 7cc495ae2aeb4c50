#include "runtime/ops/linear.h"

#include "kernels/launch.h"
#include "kernels/reduce.h"

namespace bev {

void sum_rows(Context& context, const Tensor& x, int64_t rows, int64_t cols, const Tensor& d_bias, bool accumulate) {
  visit_float(context.dtype, [&]<class T>(T) {
    using Kernel = ColumnSum<T>;
    const Tensor workspace = context.empty({columns_workspace<Kernel>(rows, cols)});
    const Kernel kernel{.x = x.data<T>(), .out = d_bias.data<T>(), .cols = cols, .accumulate = accumulate};
    for_columns(context.stream, rows, cols, workspace.data<T>(), kernel);
  });
}

void add_linear_weight_gradients(Context& context, const Tensor& x, const Tensor& d_y, Parameter& weight,
                                 Parameter* bias) {
  const int64_t out = weight.shape[0], in = weight.size() / out, rows = x.size() / in;
  context.tape.add(weight, [&](const Tensor& gradient, bool accumulate) {
    const MatmulShape shape{.m = out, .n = in, .k = rows, .transpose_a = true, .lda = out, .ldb = in, .ldc = in};
    context.matmul->run(context.stream, context.dtype, shape, d_y.raw(), x.raw(), gradient.raw(), 1, accumulate,
                        nullptr);
  });
  if (bias) {
    context.tape.add(*bias, [&](const Tensor& gradient, bool accumulate) {
      sum_rows(context, d_y, rows, out, gradient, accumulate);
    });
  }
}

Variable linear(Context& context, const Variable& x, Parameter& weight, Parameter* bias) {
  const int64_t out = weight.shape[0], in = weight.size() / out, rows = x.size() / in;
  if (x.dim(-1) != in) {
    fail(ErrorKind::runtime, "{}: a Linear layer of {} inputs got {}", weight.name, in, x.shape().text());
  }
  Shape shape;
  for (int i = 0; i + 1 < x.shape().rank(); ++i) shape.append(x.dim(i));
  shape.append(out);
  const Variable y = context.tape.output(context.empty(shape));
  context.matmul->run(context.stream, context.dtype, linear_shape(rows, out, in), x.value().raw(), weight.value.raw(),
                      y.value().raw(), 1, 0, bias ? bias->value.raw() : nullptr);

  context.tape.use(weight);
  if (bias) context.tape.use(*bias);
  context.tape.record(
      "linear", y,
      [&context, saved = x.value(), d_x = x.gradient(), slot = y.gradient(), &weight, bias, out, in, rows] {
        const Tensor d_y = Tape::take(slot);
        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
          const MatmulShape product{.m = rows, .n = in, .k = out, .lda = out, .ldb = in, .ldc = in};
          context.matmul->run(context.stream, context.dtype, product, d_y.raw(), weight.value.raw(), gradient.raw(), 1,
                              accumulate, nullptr);
        });
        add_linear_weight_gradients(context, saved, d_y, weight, bias);
      });
  return y;
}

}  // namespace bev
