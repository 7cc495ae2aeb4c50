#include "runtime/ops/residual.h"

#include "kernels/launch.h"
#include "kernels/residual.h"
#include "runtime/ops/copy.h"

namespace bev {

namespace {

struct GatedSaved {
  Tensor gate, f;
  GatedShape shape;
  int64_t samples;
};

template <class T>
void branch_gradient(Context& context, const GatedSaved& saved, const Tensor& d_y, const Tensor& d_f, bool accumulate) {
  const GatedBranchGradient<T> kernel{.d_y = d_y.data<T>(),
                                      .gate = saved.gate.data<T>(),
                                      .d_f = d_f.data<T>(),
                                      .shape = saved.shape,
                                      .accumulate = accumulate};
  for_rows(context.stream, saved.samples * saved.shape.rows, saved.shape.width, kernel);
}

template <class T>
void gate_gradient(Context& context, const GatedSaved& saved, const Tensor& d_y, const Tensor& d_gate,
                   bool accumulate) {
  const GateGradient<T> kernel{.d_y = d_y.data<T>(),
                               .f = saved.f.data<T>(),
                               .d_gate = d_gate.data<T>(),
                               .shape = saved.shape,
                               .accumulate = accumulate};
  for_rows(context.stream, saved.samples * ColumnBlock::blocks(saved.shape.width), saved.shape.rows * ColumnBlock::size,
           kernel);
}

template <class T>
void answers_sum(Context& context, const GatedSaved& saved, const Tensor& d_y, const Tensor& d_x, bool accumulate) {
  const AnswersSum<T> kernel{
      .d_y = d_y.data<T>(), .d_x = d_x.data<T>(), .shape = saved.shape, .accumulate = accumulate};
  for_rows(context.stream, saved.samples * saved.shape.x_rows,
           saved.shape.rows / saved.shape.x_rows * saved.shape.width, kernel);
}

}  // namespace

Variable gated_residual(Context& context, const Variable& x, const Variable& gate, const Variable& f) {
  const int64_t samples = x.dim(0), width = x.dim(2);
  const GatedShape shape{.rows = f.dim(1), .x_rows = x.dim(1), .width = width};
  if (f.dim(0) != samples || f.dim(2) != width || shape.rows % shape.x_rows != 0 ||
      gate.shape() != Shape{samples, width}) {
    fail(ErrorKind::runtime, "a gated residual of {} with {} and gates {}", x.shape().text(), f.shape().text(),
         gate.shape().text());
  }
  const Variable y = context.tape.output(context.empty(f.shape()));
  visit_float(context.dtype, [&]<class T>(T) {
    const GatedResidualForward<T> kernel{.x = x.value().data<T>(),
                                         .gate = gate.value().data<T>(),
                                         .f = f.value().data<T>(),
                                         .y = y.value().data<T>(),
                                         .shape = shape};
    for_rows(context.stream, samples * shape.rows, width, kernel);
  });
  context.tape.record("gated_residual", y,
                      [&context, saved = GatedSaved{gate.value(), f.value(), shape, samples}, d_x = x.gradient(),
                       d_gate = gate.gradient(), d_f = f.gradient(), slot = y.gradient()] {
                        const Tensor d_y = Tape::take(slot);
                        visit_float(context.dtype, [&]<class T>(T) {
                          context.tape.add(d_f, [&](const Tensor& gradient, bool accumulate) {
                            branch_gradient<T>(context, saved, d_y, gradient, accumulate);
                          });
                          context.tape.add(d_gate, [&](const Tensor& gradient, bool accumulate) {
                            gate_gradient<T>(context, saved, d_y, gradient, accumulate);
                          });
                          if (saved.shape.rows == saved.shape.x_rows) return pass_gradient(context, d_x, d_y);
                          context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
                            answers_sum<T>(context, saved, d_y, gradient, accumulate);
                          });
                        });
                      });
  return y;
}

Variable add_gelu_of_last(Context& context, const Variable& u, const Variable& g, int64_t kept) {
  const int64_t samples = u.dim(0), tokens = u.dim(1), width = u.dim(2);
  const Variable y = context.tape.output(context.empty({samples, kept, width}));
  visit_float(context.dtype, [&]<class T>(T) {
    const GeluTailForward<T> kernel{.u = u.value().data<T>(),
                                    .g = g.value().data<T>(),
                                    .y = y.value().data<T>(),
                                    .width = width,
                                    .tokens = tokens,
                                    .kept = kept};
    for_rows(context.stream, samples * kept, width, kernel);
  });
  context.tape.record("add_gelu_of_last", y,
                      [=, &context, g = g.value(), d_u = u.gradient(), d_g = g.gradient(), slot = y.gradient()] {
                        const Tensor d_y = Tape::take(slot);
                        const auto write = [&](const Tensor& through) {
                          return [&, through](const Tensor& gradient, bool accumulate) {
                            visit_float(context.dtype, [&]<class T>(T) {
                              const GeluTailBackward<T> kernel{.d_y = d_y.data<T>(),
                                                               .g = through.defined() ? through.data<T>() : nullptr,
                                                               .d_x = gradient.data<T>(),
                                                               .width = width,
                                                               .tokens = tokens,
                                                               .kept = kept,
                                                               .accumulate = accumulate};
                              for_rows(context.stream, samples * tokens, width, kernel);
                            });
                          };
                        };
                        context.tape.add(d_u, write({}));
                        context.tape.add(d_g, write(g));
                      });
  return y;
}

}  // namespace bev
