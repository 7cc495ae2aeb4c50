#include "runtime/ops/group_norm.h"

#include "kernels/group_norm.h"
#include "kernels/launch.h"

namespace bev {

namespace {

struct Saved {
  Tensor n, rstd;
  int64_t rows, width, groups;
};

template <class T>
void input_gradient(Context& context, const Saved& saved, const Tensor& d_y, const Tensor& gamma, const Tensor& d_x,
                    bool accumulate) {
  const int64_t group = saved.width / saved.groups;
  const GroupNormBackward<T> kernel{.d_y = d_y.data<T>(),
                                    .n = saved.n.data<T>(),
                                    .rstd = saved.rstd.data<T>(),
                                    .gamma = gamma.data<T>(),
                                    .d_x = d_x.data<T>(),
                                    .groups = saved.groups,
                                    .group = group,
                                    .accumulate = accumulate};
  for_rows(context.stream, saved.rows * saved.groups, group, kernel);
}

template <class T>
void weight_gradient(Context& context, const Saved& saved, const Tensor& d_y, Parameter& gamma, Parameter& beta) {
  using Kernel = GroupNormWeightGradient<T>;
  const Tensor workspace = context.empty({columns_workspace<Kernel>(saved.rows, saved.width)});
  context.tape.add(gamma, [&](const Tensor& d_gamma, bool accumulate_gamma) {
    context.tape.add(beta, [&](const Tensor& d_beta, bool accumulate_beta) {
      const Kernel kernel{.d_y = d_y.data<T>(),
                          .n = saved.n.data<T>(),
                          .d_gamma = d_gamma.data<T>(),
                          .d_beta = d_beta.data<T>(),
                          .width = saved.width,
                          .accumulate_gamma = accumulate_gamma,
                          .accumulate_beta = accumulate_beta};
      for_columns(context.stream, saved.rows, saved.width, workspace.data<T>(), kernel);
    });
  });
}

}  // namespace

Variable group_norm(Context& context, const Variable& x, Parameter& gamma, Parameter& beta, int64_t groups,
                    double eps) {
  const int64_t width = x.dim(-1), rows = x.size() / width;
  if (gamma.size() != width || width % groups != 0) {
    fail(ErrorKind::runtime, "{}: {} groups of {} features cannot normalise {}", gamma.name, groups, gamma.size(),
         x.shape().text());
  }
  const Saved saved{.n = context.empty(x.shape()),
                    .rstd = context.empty({rows, groups}),
                    .rows = rows,
                    .width = width,
                    .groups = groups};
  const Variable y = context.tape.output(context.empty(x.shape()));
  visit_float(context.dtype, [&]<class T>(T) {
    const GroupNormForward<T> kernel{.x = x.value().data<T>(),
                                     .gamma = gamma.value.data<T>(),
                                     .beta = beta.value.data<T>(),
                                     .y = y.value().data<T>(),
                                     .n = saved.n.data<T>(),
                                     .rstd = saved.rstd.data<T>(),
                                     .groups = groups,
                                     .group = width / groups,
                                     .eps = static_cast<T>(eps)};
    for_rows(context.stream, rows * groups, width / groups, kernel);
  });

  context.tape.use(gamma);
  context.tape.use(beta);
  context.tape.record("group_norm", y, [&context, saved, &gamma, &beta, d_x = x.gradient(), slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    visit_float(context.dtype, [&]<class T>(T) {
      context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
        input_gradient<T>(context, saved, d_y, gamma.value, gradient, accumulate);
      });
      if (Tape::wants(gamma)) weight_gradient<T>(context, saved, d_y, gamma, beta);
    });
  });
  return y;
}

}  // namespace bev
