#include "runtime/ops/convolution.h"

#include "runtime/ops/copy.h"
#include "runtime/ops/linear.h"

namespace bev {

namespace {

/// A filter with zeros for the channels that it ignores. The padded channels are the innermost dimension, so both
/// directions are copies of short rows.
struct PaddedFilter {
  int64_t rows, channels, padded;

  bool active() const { return padded > channels; }
  Tensor pad(Context& context, const Tensor& filter) const {
    const Tensor out = context.empty({rows, padded});
    fill(context, out, 0);
    copy_rows(context, rows, 1, channels, {filter, 0, channels, 0}, {out, 0, padded, 0});
    return out;
  }
  void unpad(Context& context, const Tensor& d_padded, const Tensor& d_filter, bool accumulate) const {
    copy_rows(context, rows, 1, channels, {d_padded, 0, padded, 0}, {d_filter, 0, channels, 0}, accumulate);
  }
};

}  // namespace

Tensor lend_workspace(Context& context, ConvolutionDirection direction, const ConvolutionShape& shape) {
  const Scope scope(context.tape, "workspace");
  const int64_t bytes = context.convolution->workspace(direction, shape);
  const Tensor memory = bytes > 0 ? context.empty({bytes}, DType::u8) : Tensor();
  context.convolution->lend(bytes > 0 ? memory.raw() : nullptr, bytes);
  return memory;
}

Variable convolution(Context& context, const Variable& x, Parameter& filter, int64_t stride, int64_t padding) {
  const Shape& sizes = filter.shape;  // [k, r, s, c]
  if (x.shape().rank() != 4 || x.dim(3) < sizes[3]) {
    fail(ErrorKind::runtime, "{}: a convolution of {} channels got {}", filter.name, sizes[3], x.shape().text());
  }
  if (sizes[1] == 1 && sizes[2] == 1 && stride == 1 && padding == 0 && x.dim(3) == sizes[3])
    return linear(context, x, filter, nullptr);

  const ConvolutionShape shape{.n = x.dim(0),
                               .h = x.dim(1),
                               .w = x.dim(2),
                               .c = x.dim(3),
                               .k = sizes[0],
                               .r = sizes[1],
                               .s = sizes[2],
                               .stride = stride,
                               .padding = padding};
  const PaddedFilter pad{.rows = sizes[0] * sizes[1] * sizes[2], .channels = sizes[3], .padded = x.dim(3)};
  const Tensor weights = pad.active() ? pad.pad(context, filter.value) : filter.value;
  const Variable y = context.tape.output(context.empty({shape.n, shape.out_h(), shape.out_w(), shape.k}));
  {
    const Tensor workspace = lend_workspace(context, ConvolutionDirection::forward, shape);
    context.convolution->forward(context.stream, context.dtype, shape, x.value().raw(), weights.raw(), y.value().raw());
  }

  context.tape.use(filter);
  context.tape.record(
      "convolution", y,
      [&context, &filter, shape, pad, weights, saved = x.value(), d_x = x.gradient(), slot = y.gradient()] {
        const Tensor d_y = Tape::take(slot);
        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
          const Tensor workspace = lend_workspace(context, ConvolutionDirection::backward_data, shape);
          context.convolution->backward_data(context.stream, context.dtype, shape, d_y.raw(), weights.raw(),
                                             gradient.raw(), accumulate);
        });
        context.tape.add(filter, [&](const Tensor& gradient, bool accumulate) {
          const Tensor target = pad.active() ? context.empty(weights.shape()) : gradient;
          const Tensor workspace = lend_workspace(context, ConvolutionDirection::backward_filter, shape);
          context.convolution->backward_filter(context.stream, context.dtype, shape, saved.raw(), d_y.raw(),
                                               target.raw(), accumulate && !pad.active());
          if (pad.active()) pad.unpad(context, target, gradient, accumulate);
        });
      });
  return y;
}

}  // namespace bev
