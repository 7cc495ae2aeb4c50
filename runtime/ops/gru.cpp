#include "runtime/ops/gru.h"

#include "kernels/gru.h"
#include "kernels/launch.h"
#include "runtime/ops/copy.h"
#include "runtime/ops/linear.h"

namespace bev {

namespace {

/// One sequence's pass. Steps are outermost in `recurrent` and `hidden`, so that a step's rows, and the rows of all
/// steps, are dense.
struct Sequence {
  GruWeights weights;
  Tensor x;          // [samples, tokens, in]
  Tensor gates;      // [samples, tokens, 3 width]
  Tensor recurrent;  // [tokens, samples, 3 width]; without h0 the first step's is not computed: it is the bias
  Tensor hidden;     // [tokens + 1, samples, width], h0 first
  bool has_h0;
  int64_t samples, tokens, width;

  Tensor hidden_before(int64_t t) const { return hidden.part(t * samples * width, {samples, width}); }
  Tensor recurrent_of(int64_t t) const { return recurrent.part(t * samples * 3 * width, {samples, 3 * width}); }
  /// Where the recurrent part of step t is read from, and the distance between samples there.
  Tensor recurrent_source(int64_t t) const { return t > 0 || has_h0 ? recurrent_of(t) : weights.bias_hh->value; }
  int64_t recurrent_stride(int64_t t) const { return t > 0 || has_h0 ? 3 * width : 0; }
};

void check(const Variable& x, const GruWeights& weights, const Variable& h0) {
  const int64_t width = weights.weight_hh->shape[1];
  if (x.shape().rank() != 3 || x.dim(2) != weights.weight_ih->shape[1]) {
    fail(ErrorKind::runtime, "{}: expected [samples, tokens, {}], got {}", weights.weight_ih->name,
         weights.weight_ih->shape[1], x.shape().text());
  }
  if (h0.defined() && h0.shape() != Shape{x.dim(0), width}) {
    fail(ErrorKind::runtime, "{}: the first hidden state is {}, expected {}", weights.weight_hh->name,
         h0.shape().text(), Shape{x.dim(0), width}.text());
  }
}

/// y: all hidden states [samples, tokens, width], or undefined.
Sequence forward(Context& context, const Variable& x, const GruWeights& weights, const Variable& h0, const Tensor& y) {
  const int64_t samples = x.dim(0), tokens = x.dim(1), width = weights.weight_hh->shape[1], in = x.dim(2);
  Sequence s{.weights = weights,
             .x = x.value(),
             .gates = context.empty({samples, tokens, 3 * width}),
             .recurrent = context.empty({tokens, samples, 3 * width}),
             .hidden = context.empty({tokens + 1, samples, width}),
             .has_h0 = h0.defined(),
             .samples = samples,
             .tokens = tokens,
             .width = width};
  context.matmul->run(context.stream, context.dtype, linear_shape(samples * tokens, 3 * width, in), s.x.raw(),
                      weights.weight_ih->value.raw(), s.gates.raw(), 1, 0, weights.bias_ih->value.raw());
  if (s.has_h0) {
    copy_rows(context, samples, 1, width, {h0.value(), 0, width, 0}, {s.hidden_before(0), 0, width, 0});
  } else {
    fill(context, s.hidden_before(0), 0);
  }
  for (int64_t t = 0; t < tokens; ++t) {
    if (t > 0 || s.has_h0) {
      context.matmul->run_shared(context.stream, context.dtype, linear_shape(samples, 3 * width, width),
                                 s.hidden_before(t).raw(), weights.weight_hh->value.raw(), s.recurrent_of(t).raw(), 1,
                                 0, weights.bias_hh->value.raw());
    }
    visit_float(context.dtype, [&]<class T>(T) {
      const GruForward<T> kernel{.gates = s.gates.data<T>() + t * 3 * width,
                                 .recurrent = s.recurrent_source(t).data<T>(),
                                 .previous = s.hidden_before(t).data<T>(),
                                 .hidden = s.hidden_before(t + 1).data<T>(),
                                 .y = y.defined() ? y.data<T>() + t * width : nullptr,
                                 .width = width,
                                 .gates_stride = tokens * 3 * width,
                                 .recurrent_stride = s.recurrent_stride(t),
                                 .y_stride = tokens * width};
      for_rows(context.stream, samples, width, kernel);
    });
  }
  for (Parameter* parameter : {weights.weight_ih, weights.weight_hh, weights.bias_ih, weights.bias_hh}) {
    context.tape.use(*parameter);
  }
  return s;
}

/// Through all steps, last to first. d_y: of all hidden states, or undefined; `carry` [samples, width] holds the
/// gradient of the last one from elsewhere, and in the end that of h0. Overwrites what the forward pass saved.
void backward_steps(Context& context, const Sequence& s, const Tensor& d_y, const Tensor& carry) {
  for (int64_t t = s.tokens - 1; t >= 0; --t) {
    visit_float(context.dtype, [&]<class T>(T) {
      const GruBackward<T> kernel{.d_y = d_y.defined() ? d_y.data<T>() + t * s.width : nullptr,
                                  .carry = carry.data<T>(),
                                  .gates = s.gates.data<T>() + t * 3 * s.width,
                                  .recurrent = s.recurrent_source(t).data<T>(),
                                  .previous = s.hidden_before(t).data<T>(),
                                  .d_recurrent = s.recurrent_of(t).data<T>(),
                                  .width = s.width,
                                  .gates_stride = s.tokens * 3 * s.width,
                                  .recurrent_stride = s.recurrent_stride(t),
                                  .y_stride = s.tokens * s.width};
      for_rows(context.stream, s.samples, s.width, kernel);
    });
    if (t == 0 && !s.has_h0) break;
    const MatmulShape product{
        .m = s.samples, .n = s.width, .k = 3 * s.width, .lda = 3 * s.width, .ldb = s.width, .ldc = s.width};
    context.matmul->run_shared(context.stream, context.dtype, product, s.recurrent_of(t).raw(),
                               s.weights.weight_hh->value.raw(), carry.raw(), 1, 1, nullptr);
  }
}

void weight_gradients(Context& context, const Sequence& s) {
  add_linear_weight_gradients(context, s.x, s.gates, *s.weights.weight_ih, s.weights.bias_ih);
  // Without h0 the first step's hidden state is zero and adds nothing to weight_hh's gradient, but to its bias's.
  const int64_t first = !s.has_h0 && s.tokens > 1 ? 1 : 0, rows = (s.tokens - first) * s.samples;
  add_linear_weight_gradients(context, s.hidden.part(first * s.samples * s.width, {rows, s.width}),
                              s.recurrent.part(first * s.samples * 3 * s.width, {rows, 3 * s.width}),
                              *s.weights.weight_hh, nullptr);
  context.tape.add(*s.weights.bias_hh, [&](const Tensor& gradient, bool accumulate) {
    sum_rows(context, s.recurrent, s.tokens * s.samples, 3 * s.width, gradient, accumulate);
  });
}

void backward(Context& context, const Sequence& s, const Tensor& d_y, const Tensor& carry, const Gradient& d_x,
              const Gradient& d_h0) {
  backward_steps(context, s, d_y, carry);
  context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
    const int64_t in = s.x.dim(2);
    const MatmulShape product{
        .m = s.samples * s.tokens, .n = in, .k = 3 * s.width, .lda = 3 * s.width, .ldb = in, .ldc = in};
    context.matmul->run(context.stream, context.dtype, product, s.gates.raw(), s.weights.weight_ih->value.raw(),
                        gradient.raw(), 1, accumulate, nullptr);
  });
  weight_gradients(context, s);
  pass_gradient(context, d_h0, carry);
}

}  // namespace

Variable gru(Context& context, const Variable& x, const GruWeights& weights, const Variable& h0) {
  check(x, weights, h0);
  const Variable y = context.tape.output(context.empty({x.dim(0), x.dim(1), weights.weight_hh->shape[1]}));
  const Sequence s = forward(context, x, weights, h0, y.value());
  context.tape.record("gru", y, [&context, s, d_x = x.gradient(), d_h0 = h0.gradient(), slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot), carry = context.empty({s.samples, s.width});
    fill(context, carry, 0);
    backward(context, s, d_y, carry, d_x, d_h0);
  });
  return y;
}

Variable gru_last(Context& context, const Variable& x, const GruWeights& weights, const Variable& h0) {
  check(x, weights, h0);
  const Sequence s = forward(context, x, weights, h0, {});
  const Variable y = context.tape.output(s.hidden_before(s.tokens));
  context.tape.record("gru_last", y, [&context, s, d_x = x.gradient(), d_h0 = h0.gradient(), slot = y.gradient()] {
    backward(context, s, {}, Tape::take(slot), d_x, d_h0);
  });
  return y;
}

}  // namespace bev
