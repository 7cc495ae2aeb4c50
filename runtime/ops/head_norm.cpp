#include "runtime/ops/head_norm.h"

#include "kernels/head_norm.h"
#include "kernels/launch.h"

namespace bev {

namespace {

constexpr double eps = 1e-6;

struct Saved {
  Tensor x, rstd;
  int64_t rows, width, heads, positions;
};

template <class T>
void backward(Context& context, const Saved& saved, const Tensor& d_y, Parameter* weight, const Gradient& d_x) {
  if (saved.positions > 0) {
    const RotateBack<T> rotate{.d_y = d_y.data<T>(),
                               .d_m = d_y.data<T>(),
                               .width = saved.width,
                               .heads = saved.heads,
                               .positions = saved.positions};
    for_rows(context.stream, saved.rows, saved.width, rotate);
  }
  context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
    const HeadNormBackward<T> kernel{.d_m = d_y.data<T>(),
                                     .x = saved.x.data<T>(),
                                     .weight = weight ? weight->value.data<T>() : nullptr,
                                     .rstd = saved.rstd.data<T>(),
                                     .d_x = gradient.data<T>(),
                                     .width = saved.width,
                                     .accumulate = accumulate};
    for_rows(context.stream, saved.rows, saved.width, kernel);
  });
  if (!weight) return;
  context.tape.add(*weight, [&](const Tensor& gradient, bool accumulate) {
    using Kernel = HeadNormWeightGradient<T>;
    const Tensor workspace = context.empty({columns_workspace<Kernel>(saved.rows, saved.width)});
    const Kernel kernel{.d_m = d_y.data<T>(),
                        .x = saved.x.data<T>(),
                        .rstd = saved.rstd.data<T>(),
                        .d_weight = gradient.data<T>(),
                        .width = saved.width,
                        .accumulate = accumulate};
    for_columns(context.stream, saved.rows, saved.width, workspace.data<T>(), kernel);
  });
}

}  // namespace

Variable head_norm(Context& context, const Variable& x, Parameter* weight, int64_t heads, int64_t positions,
                   const Tensor& into) {
  const int64_t width = x.dim(-1) / heads, rows = x.size() / width;
  const Saved saved{.x = x.value(),
                    .rstd = context.empty({rows}),
                    .rows = rows,
                    .width = width,
                    .heads = heads,
                    .positions = positions};
  const Variable y = context.tape.output(context.output_memory(into, x.shape()));
  visit_float(context.dtype, [&]<class T>(T) {
    const HeadNormForward<T> kernel{.x = saved.x.data<T>(),
                                    .weight = weight ? weight->value.data<T>() : nullptr,
                                    .y = y.value().data<T>(),
                                    .rstd = saved.rstd.data<T>(),
                                    .width = width,
                                    .heads = heads,
                                    .positions = positions,
                                    .eps = static_cast<T>(eps)};
    for_rows(context.stream, rows, width, kernel);
  });
  if (weight) context.tape.use(*weight);
  context.tape.record("head_norm", y, [&context, saved, weight, d_x = x.gradient(), slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    visit_float(context.dtype, [&]<class T>(T) { backward<T>(context, saved, d_y, weight, d_x); });
  });
  return y;
}

}  // namespace bev
