#include "runtime/ops/shared_linear.h"

#include "runtime/ops/linear.h"

namespace bev {

SharedLinear::SharedLinear(Context& context, Parameter& weight, Parameter* bias, int64_t uses, int64_t rows)
    : weight_(weight), bias_(bias), rows_(rows) {
  if (!context.tape.recording()) return;
  inputs_ = context.empty({uses * rows, weight.shape[1]});
  outputs_ = context.tape.output(context.empty({uses * rows, weight.shape[0]}));
  parts_ = context.tape.parts(outputs_, uses);
  context.tape.use(weight);
  if (bias) context.tape.use(*bias);
}

Tensor SharedLinear::input() {
  if (!inputs_.defined()) return {};
  const int64_t in = weight_.shape[1];
  return inputs_.part(next_ * rows_ * in, {rows_, in});
}

Variable SharedLinear::operator()(Context& context, const Variable& x) {
  const int64_t out = weight_.shape[0], in = weight_.shape[1];
  Shape shape;
  for (int i = 0; i + 1 < x.shape().rank(); ++i) shape.append(x.dim(i));
  shape.append(out);
  const bool recording = inputs_.defined();
  if (x.size() != rows_ * in || (recording && x.value().raw() != input().raw())) {
    fail(ErrorKind::runtime,
         "{}: use {} of a shared Linear layer got {}, not the {} rows of {} that it gave memory for", weight_.name,
         next_, x.shape().text(), rows_, in);
  }
  const Variable y = recording ? parts_[static_cast<size_t>(next_)].view(shape) : Variable(context.empty(shape));
  context.matmul->run_shared(context.stream, context.dtype, linear_shape(rows_, out, in), x.value().raw(),
                             weight_.value.raw(), y.value().raw(), 1, 0, bias_ ? bias_->value.raw() : nullptr);
  if (!recording) return y;
  const bool first = next_++ == 0;
  context.tape.record("shared_linear", y,
                      [&context, &weight = weight_, bias = bias_, rows = rows_, d_x = x.gradient(), slot = y.gradient(),
                       all = first ? outputs_.gradient() : nullptr, inputs = first ? inputs_ : Tensor(), in, out] {
                        const Tensor d_y = Tape::take(slot);
                        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
                          const MatmulShape product{.m = rows, .n = in, .k = out, .lda = out, .ldb = in, .ldc = in};
                          context.matmul->run_shared(context.stream, context.dtype, product, d_y.raw(),
                                                     weight.value.raw(), gradient.raw(), 1, accumulate, nullptr);
                        });
                        if (all) add_linear_weight_gradients(context, inputs, Tape::take(all), weight, bias);
                      });
  return y;
}

}  // namespace bev
