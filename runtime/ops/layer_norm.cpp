#include "runtime/ops/layer_norm.h"

#include "kernels/launch.h"
#include "kernels/layer_norm.h"

namespace bev {

namespace {

struct Saved {
  Tensor x, mean, rstd;
  Tensor shift, scale;  // undefined without modulation
  int64_t rows, width, rows_per_sample;
};

template <class T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

template <class T>
void input_gradient(Context& context, const Saved& saved, const Tensor& d_y, const Tensor& gamma, const Tensor& d_x,
                    bool accumulate) {
  const LayerNormBackward<T> kernel{.d_y = d_y.data<T>(),
                                    .x = saved.x.data<T>(),
                                    .mean = saved.mean.data<T>(),
                                    .rstd = saved.rstd.data<T>(),
                                    .gamma = gamma.data<T>(),
                                    .scale = data_or_null<T>(saved.scale),
                                    .d_x = d_x.data<T>(),
                                    .width = saved.width,
                                    .rows_per_sample = saved.rows_per_sample,
                                    .accumulate = accumulate};
  for_rows(context.stream, saved.rows, saved.width, kernel);
}

template <class T>
void weight_gradient(Context& context, const Saved& saved, const Tensor& d_y, Parameter& gamma, Parameter& beta) {
  using Kernel = LayerNormWeightGradient<T>;
  const Tensor workspace = context.empty({columns_workspace<Kernel>(saved.rows, saved.width)});
  // One pass computes both, so the two contributions are announced one inside the other.
  context.tape.add(gamma, [&](const Tensor& d_gamma, bool accumulate_gamma) {
    context.tape.add(beta, [&](const Tensor& d_beta, bool accumulate_beta) {
      const Kernel kernel{.d_y = d_y.data<T>(),
                          .x = saved.x.data<T>(),
                          .mean = saved.mean.data<T>(),
                          .rstd = saved.rstd.data<T>(),
                          .scale = data_or_null<T>(saved.scale),
                          .d_gamma = d_gamma.data<T>(),
                          .d_beta = d_beta.data<T>(),
                          .width = saved.width,
                          .rows_per_sample = saved.rows_per_sample,
                          .accumulate_gamma = accumulate_gamma,
                          .accumulate_beta = accumulate_beta};
      for_columns(context.stream, saved.rows, saved.width, workspace.data<T>(), kernel);
    });
  });
}

template <class T>
void modulation_gradient(Context& context, const Saved& saved, const Tensor& d_y, const Tensor& gamma,
                         const Tensor& beta, const Gradient& shift, const Gradient& scale) {
  context.tape.add(shift, [&](const Tensor& d_shift, bool accumulate_shift) {
    context.tape.add(scale, [&](const Tensor& d_scale, bool accumulate_scale) {
      const ModulationGradient<T> kernel{.d_y = d_y.data<T>(),
                                         .x = saved.x.data<T>(),
                                         .mean = saved.mean.data<T>(),
                                         .rstd = saved.rstd.data<T>(),
                                         .gamma = gamma.data<T>(),
                                         .beta = beta.data<T>(),
                                         .d_shift = d_shift.data<T>(),
                                         .d_scale = d_scale.data<T>(),
                                         .width = saved.width,
                                         .rows_per_sample = saved.rows_per_sample,
                                         .accumulate_shift = accumulate_shift,
                                         .accumulate_scale = accumulate_scale};
      for_rows(context.stream, saved.rows / saved.rows_per_sample * ColumnBlock::blocks(saved.width),
               saved.rows_per_sample * ColumnBlock::size, kernel);
    });
  });
}

}  // namespace

Variable layer_norm(Context& context, const Variable& x, Parameter& gamma, Parameter& beta,
                    const Modulation* modulation, double eps, const Tensor& into) {
  const int64_t width = x.dim(-1), rows = x.size() / width;
  Saved saved{.x = x.value(),
              .mean = context.empty({rows}),
              .rstd = context.empty({rows}),
              .shift = {},
              .scale = {},
              .rows = rows,
              .width = width,
              .rows_per_sample = rows};
  if (modulation) {
    saved.shift = modulation->shift.value();
    saved.scale = modulation->scale.value();
    saved.rows_per_sample = rows / modulation->shift.dim(0);
  }
  const Variable y = context.tape.output(context.output_memory(into, x.shape()));
  visit_float(context.dtype, [&]<class T>(T) {
    const LayerNormForward<T> kernel{.x = saved.x.data<T>(),
                                     .gamma = gamma.value.data<T>(),
                                     .beta = beta.value.data<T>(),
                                     .shift = data_or_null<T>(saved.shift),
                                     .scale = data_or_null<T>(saved.scale),
                                     .y = y.value().data<T>(),
                                     .mean = saved.mean.data<T>(),
                                     .rstd = saved.rstd.data<T>(),
                                     .width = width,
                                     .rows_per_sample = saved.rows_per_sample,
                                     .eps = static_cast<T>(eps)};
    for_rows(context.stream, rows, width, kernel);
  });

  context.tape.use(gamma);
  context.tape.use(beta);
  const Gradient shift = modulation ? modulation->shift.gradient() : nullptr;
  const Gradient scale = modulation ? modulation->scale.gradient() : nullptr;
  context.tape.record("layer_norm", y,
                      [&context, saved, &gamma, &beta, shift, scale, d_x = x.gradient(), slot = y.gradient()] {
                        const Tensor d_y = Tape::take(slot);
                        visit_float(context.dtype, [&]<class T>(T) {
                          context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
                            input_gradient<T>(context, saved, d_y, gamma.value, gradient, accumulate);
                          });
                          if (shift) modulation_gradient<T>(context, saved, d_y, gamma.value, beta.value, shift, scale);
                          if (Tape::wants(gamma)) weight_gradient<T>(context, saved, d_y, gamma, beta);
                        });
                      });
  return y;
}

}  // namespace bev
