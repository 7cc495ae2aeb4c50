#include "runtime/ops/residual_norm.h"

#include "kernels/launch.h"
#include "kernels/residual_norm.h"
#include "runtime/ops/copy.h"

namespace bev {

namespace {

struct Saved {
  Tensor gate, f, scale, s, mean, rstd;
  int64_t samples, rows_per_sample, width;
  int64_t rows() const { return samples * rows_per_sample; }
};

struct Gradients {
  Gradient s, x, gate, f, shift, scale;
};

template <class T>
void rows_pass(Context& context, const Saved& saved, const Tensor& gamma, const Tensor& d_y, const Tensor& d_s,
               bool has_d_s, const Tensor& d_f, bool accumulate_f) {
  const ResidualNormBackward<T> kernel{.d_y = d_y.data<T>(),
                                       .s = saved.s.data<T>(),
                                       .mean = saved.mean.data<T>(),
                                       .rstd = saved.rstd.data<T>(),
                                       .gamma = gamma.data<T>(),
                                       .scale = saved.scale.data<T>(),
                                       .gate = saved.gate.data<T>(),
                                       .d_s = d_s.data<T>(),
                                       .d_f = d_f.data<T>(),
                                       .width = saved.width,
                                       .rows_per_sample = saved.rows_per_sample,
                                       .has_d_s = has_d_s,
                                       .accumulate_f = accumulate_f};
  for_rows(context.stream, saved.rows(), saved.width, kernel);
}

template <class T>
void sums_pass(Context& context, const Saved& saved, const Tensor& d_y, const Tensor& d_s, const Tensor& sums,
               const Tensor& d_gate, bool accumulate_gate) {
  const ResidualNormSums<T> kernel{.d_y = d_y.data<T>(),
                                   .s = saved.s.data<T>(),
                                   .mean = saved.mean.data<T>(),
                                   .rstd = saved.rstd.data<T>(),
                                   .d_s = d_s.data<T>(),
                                   .f = saved.f.data<T>(),
                                   .sum0 = sums.data<T>(),
                                   .sum1 = sums.data<T>() + saved.samples * saved.width,
                                   .d_gate = d_gate.data<T>(),
                                   .width = saved.width,
                                   .rows_per_sample = saved.rows_per_sample,
                                   .accumulate_gate = accumulate_gate};
  for_rows(context.stream, saved.samples * ColumnBlock::blocks(saved.width), saved.rows_per_sample * ColumnBlock::size,
           kernel);
}

/// One column kernel writes all four gradients, so their contributions are announced one inside the other. Where gamma
/// and beta are frozen, theirs are not computed.
template <class T>
void columns_pass(Context& context, const Saved& saved, Parameter& gamma, Parameter& beta, const Tensor& sums,
                  const Gradient& shift, const Gradient& scale) {
  context.tape.add(shift, [&](const Tensor& d_shift, bool add_shift) {
    context.tape.add(scale, [&](const Tensor& d_scale, bool add_scale) {
      ResidualNormColumns<T> kernel{.sum0 = sums.data<T>(),
                                    .sum1 = sums.data<T>() + saved.samples * saved.width,
                                    .gamma = gamma.value.data<T>(),
                                    .beta = beta.value.data<T>(),
                                    .scale = saved.scale.data<T>(),
                                    .d_shift = d_shift.data<T>(),
                                    .d_scale = d_scale.data<T>(),
                                    .d_gamma = nullptr,
                                    .d_beta = nullptr,
                                    .width = saved.width,
                                    .samples = saved.samples,
                                    .accumulate_shift = add_shift,
                                    .accumulate_scale = add_scale,
                                    .accumulate_gamma = false,
                                    .accumulate_beta = false};
      const auto launch = [&] {
        for_rows(context.stream, ColumnBlock::blocks(saved.width), saved.samples * ColumnBlock::size, kernel);
      };
      if (!Tape::wants(gamma)) return launch();
      context.tape.add(gamma, [&](const Tensor& d_gamma, bool add_gamma) {
        context.tape.add(beta, [&](const Tensor& d_beta, bool add_beta) {
          kernel.d_gamma = d_gamma.data<T>();
          kernel.d_beta = d_beta.data<T>();
          kernel.accumulate_gamma = add_gamma;
          kernel.accumulate_beta = add_beta;
          launch();
        });
      });
    });
  });
}

void backward(Context& context, const Saved& saved, Parameter& gamma, Parameter& beta, const Tensor& d_y,
              const Gradients& gradients) {
  // What came for the sum from elsewhere, if anything did: it becomes the whole gradient of the sum.
  Tensor d_s = Tape::take(gradients.s);
  const bool has_d_s = d_s.defined();
  if (!has_d_s) d_s = context.empty(saved.s.shape());
  const Tensor sums = context.empty({2, saved.samples, saved.width});
  visit_float(context.dtype, [&]<class T>(T) {
    context.tape.add(gradients.f, [&](const Tensor& d_f, bool add_f) {
      rows_pass<T>(context, saved, gamma.value, d_y, d_s, has_d_s, d_f, add_f);
    });
    context.tape.add(gradients.gate, [&](const Tensor& d_gate, bool add_gate) {
      sums_pass<T>(context, saved, d_y, d_s, sums, d_gate, add_gate);
    });
    columns_pass<T>(context, saved, gamma, beta, sums, gradients.shift, gradients.scale);
  });
  pass_gradient(context, gradients.x, d_s);
}

}  // namespace

NormedSum gated_residual_norm(Context& context, const Variable& x, const Variable& gate, const Variable& f,
                              Parameter& gamma, Parameter& beta, const Modulation& modulation, const Tensor& into,
                              double eps) {
  const int64_t samples = x.dim(0), rows = x.dim(1), width = x.dim(2);
  for (const Variable* vector : {&gate, &modulation.shift, &modulation.scale}) {
    if (vector->shape() != Shape{samples, width} || (context.tape.recording() && !vector->needs_gradient())) {
      fail(ErrorKind::runtime, "{}: a gate or modulation of {}, expected a computed {}", gamma.name,
           vector->shape().text(), Shape{samples, width}.text());
    }
  }
  if (f.shape() != x.shape() || (context.tape.recording() && !f.needs_gradient())) {
    fail(ErrorKind::runtime, "{}: {} cannot be added to {}", gamma.name, f.shape().text(), x.shape().text());
  }
  const NormedSum out{context.tape.output(context.empty(x.shape())),
                      context.tape.output(context.output_memory(into, x.shape()))};
  const Saved saved{.gate = gate.value(),
                    .f = f.value(),
                    .scale = modulation.scale.value(),
                    .s = out.sum.value(),
                    .mean = context.empty({samples * rows}),
                    .rstd = context.empty({samples * rows}),
                    .samples = samples,
                    .rows_per_sample = rows,
                    .width = width};
  visit_float(context.dtype, [&]<class T>(T) {
    const ResidualNormForward<T> kernel{.x = x.value().data<T>(),
                                        .gate = gate.value().data<T>(),
                                        .f = f.value().data<T>(),
                                        .gamma = gamma.value.data<T>(),
                                        .beta = beta.value.data<T>(),
                                        .shift = modulation.shift.value().data<T>(),
                                        .scale = modulation.scale.value().data<T>(),
                                        .s = out.sum.value().data<T>(),
                                        .y = out.normed.value().data<T>(),
                                        .mean = saved.mean.data<T>(),
                                        .rstd = saved.rstd.data<T>(),
                                        .width = width,
                                        .rows_per_sample = rows,
                                        .eps = static_cast<T>(eps)};
    for_rows(context.stream, samples * rows, width, kernel);
  });
  context.tape.use(gamma);
  context.tape.use(beta);
  context.tape.record("gated_residual_norm", out.normed,
                      [&context, saved, &gamma, &beta, slot = out.normed.gradient(),
                       gradients = Gradients{out.sum.gradient(), x.gradient(), gate.gradient(), f.gradient(),
                                             modulation.shift.gradient(), modulation.scale.gradient()}] {
                        backward(context, saved, gamma, beta, Tape::take(slot), gradients);
                      });
  return out;
}

}  // namespace bev
