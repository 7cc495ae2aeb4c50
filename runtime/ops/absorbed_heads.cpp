// The ops of many_key_attention.h that take a projection, cut into heads, from the keys' side to the queries'.
#include "kernels/absorbed_heads.h"

#include "kernels/launch.h"
#include "runtime/ops/many_key_attention.h"
#include "runtime/ops/value_bias.h"

namespace bev {

namespace {

/// Products of rows [rows, E], cut into heads, with the heads' rows of a weight [E, E]; on the other side every head
/// has rows of its own, [rows, heads, E].
struct HeadProjection {
  int64_t rows, heads, width;
  int64_t slice() const { return width / heads; }

  /// out [rows, heads, E]: out_j = x_j W_j
  void spread(Context& context, const Tensor& x, const Tensor& weight, const Tensor& out, bool accumulate) const {
    const MatmulShape shape{.m = rows,
                            .n = width,
                            .k = slice(),
                            .lda = width,
                            .ldb = width,
                            .ldc = heads * width,
                            .batch = heads,
                            .stride_a = slice(),
                            .stride_b = slice() * width,
                            .stride_c = width};
    context.matmul->run(context.stream, context.dtype, shape, x.raw(), weight.raw(), out.raw(), 1, accumulate, nullptr);
  }
  /// x [rows, E]: x_j = y_j W_j^T
  void gather(Context& context, const Tensor& y, const Tensor& weight, const Tensor& x, bool accumulate) const {
    const MatmulShape shape{.m = rows,
                            .n = slice(),
                            .k = width,
                            .transpose_b = true,
                            .lda = heads * width,
                            .ldb = width,
                            .ldc = width,
                            .batch = heads,
                            .stride_a = width,
                            .stride_b = slice() * width,
                            .stride_c = slice()};
    context.matmul->run(context.stream, context.dtype, shape, y.raw(), weight.raw(), x.raw(), 1, accumulate, nullptr);
  }
  /// The weight's gradient: d_W_j = x_j^T y_j
  void add_weight_gradient(Context& context, const Tensor& x, const Tensor& y, Parameter& weight) const {
    context.tape.add(weight, [&](const Tensor& gradient, bool accumulate) {
      const MatmulShape shape{.m = slice(),
                              .n = width,
                              .k = rows,
                              .transpose_a = true,
                              .lda = width,
                              .ldb = heads * width,
                              .ldc = width,
                              .batch = heads,
                              .stride_a = slice(),
                              .stride_b = width,
                              .stride_c = slice() * width};
      context.matmul->run(context.stream, context.dtype, shape, x.raw(), y.raw(), gradient.raw(), 1, accumulate,
                          nullptr);
    });
  }
};

void scale_slices(Context& context, const Tensor& x, const Parameter& norm, double scale, const Tensor& y) {
  visit_float(context.dtype, [&]<class T>(T) {
    const ScaleSlices<T> kernel{.x = x.data<T>(),
                                .weight = norm.value.data<T>(),
                                .y = y.data<T>(),
                                .width = norm.size(),
                                .scale = static_cast<T>(scale)};
    for_rows(context.stream, x.size() / norm.size(), norm.size(), kernel);
  });
}

void add_norm_gradient(Context& context, const Tensor& x, const Tensor& d_y, double scale, Parameter& norm) {
  context.tape.add(norm, [&](const Tensor& gradient, bool accumulate) {
    visit_float(context.dtype, [&]<class T>(T) {
      using Kernel = SliceWeightGradient<T>;
      const int64_t width = norm.size(), rows = x.size() / width;
      const Tensor workspace = context.empty({columns_workspace<Kernel>(rows, width)});
      const Kernel kernel{.d_y = d_y.data<T>(),
                          .x = x.data<T>(),
                          .d_weight = gradient.data<T>(),
                          .width = width,
                          .scale = static_cast<T>(scale),
                          .accumulate = accumulate};
      for_columns(context.stream, rows, width, workspace.data<T>(), kernel);
    });
  });
}

}  // namespace

Variable absorb_keys(Context& context, const Variable& x, Parameter& weight, Parameter& norm, int64_t heads,
                     double scale) {
  const HeadProjection projection{.rows = x.dim(0) * x.dim(1), .heads = heads, .width = x.dim(2)};
  const Shape shape{x.dim(0), x.dim(1), heads, x.dim(2)};
  const Tensor unscaled = context.empty(shape);
  const Variable y = context.tape.output(context.empty(shape));
  projection.spread(context, x.value(), weight.value, unscaled, false);
  scale_slices(context, unscaled, norm, scale, y.value());

  context.tape.use(weight);
  context.tape.use(norm);
  context.tape.record("absorb_keys", y,
                      [&context, &weight, &norm, projection, unscaled, saved = x.value(), scale, d_x = x.gradient(),
                       slot = y.gradient()] {
                        const Tensor d_y = Tape::take(slot);
                        add_norm_gradient(context, unscaled, d_y, scale, norm);
                        scale_slices(context, d_y, norm, scale, d_y);  // now the gradient of `unscaled`
                        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
                          projection.gather(context, d_y, weight.value, gradient, accumulate);
                        });
                        projection.add_weight_gradient(context, saved, d_y, weight);
                      });
  return y;
}

Variable project_heads(Context& context, const Variable& c, Parameter& weight, const ValueBias& bias) {
  const int64_t heads = c.dim(3), width = c.dim(4);
  const HeadProjection projection{.rows = c.size() / (heads * width), .heads = heads, .width = width};
  const Variable y = context.tape.output(context.empty({c.dim(0), c.dim(1), c.dim(2), width}));
  const bool add = start_with_bias(context, bias, heads, y.value());
  projection.gather(context, c.value(), weight.value, y.value(), add);

  context.tape.use(weight);
  context.tape.record(
      "project_heads", y,
      [&context, &weight, bias, projection, saved = c.value(), d_c = c.gradient(), slot = y.gradient()] {
        const Tensor d_y = Tape::take(slot);
        context.tape.add(d_c, [&](const Tensor& gradient, bool accumulate) {
          projection.spread(context, d_y, weight.value, gradient, accumulate);
        });
        projection.add_weight_gradient(context, d_y, saved, weight);
        add_bias_gradients(context, bias, projection.heads, d_y);
      });
  return y;
}

}  // namespace bev
