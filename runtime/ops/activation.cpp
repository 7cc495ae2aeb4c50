#include "runtime/ops/activation.h"

#include "kernels/activation.h"
#include "kernels/launch.h"

namespace bev {

namespace {

/// Where one op's dropout is drawn. Nothing is dropped where p is 0.
struct Drawing {
  int64_t samples, elements;
  double p = 0;
  uint32_t place = 0;

  template <class T>
  DropoutMask<T> mask(const Context& context) const {
    return DropoutMask<T>(context.state, place, p);
  }
  Pieces pieces() const { return Pieces(samples, elements); }
  template <class Kernel>
  void launch(const Context& context, const Kernel& kernel) const {
    for_rows(context.stream, kernel.pieces.rows(samples), kernel.pieces.width(), kernel);
  }
};

Drawing draw(Context& context, const Variable& x, double p) {
  if (p == 0 || !context.training) return {.samples = 1, .elements = x.size()};
  return {.samples = x.dim(0), .elements = x.size(), .p = p, .place = context.next_random_place()};
}

template <class Function>
void forward(Context& context, const Drawing& drawing, const Tensor& x, const Tensor& y) {
  visit_float(context.dtype, [&]<class T>(T) {
    drawing.launch(
        context,
        ActivationForward<T, Function>{
            .x = x.data<T>(), .y = y.data<T>(), .pieces = drawing.pieces(), .dropout = drawing.mask<T>(context)});
  });
}

template <class Function>
void backward(Context& context, const Drawing& drawing, const Tensor& d_y, const Tensor& saved, const Tensor& d_x,
              bool accumulate) {
  visit_float(context.dtype, [&]<class T>(T) {
    drawing.launch(context, ActivationBackward<T, Function>{.d_y = d_y.data<T>(),
                                                            .saved = saved.defined() ? saved.data<T>() : nullptr,
                                                            .d_x = d_x.data<T>(),
                                                            .pieces = drawing.pieces(),
                                                            .dropout = drawing.mask<T>(context),
                                                            .accumulate = accumulate});
  });
}

/// y = dropout(f(x)); `op` is a literal.
template <class Function>
Variable apply(Context& context, const char* op, const Variable& x, double p, const Tensor& into = {}) {
  const Drawing drawing = draw(context, x, p);
  const Variable y = context.tape.output(context.output_memory(into, x.shape()));
  forward<Function>(context, drawing, x.value(), y.value());
  Tensor saved;
  if constexpr (std::is_same_v<Function, Relu>) {
    saved = y.value();
  } else if constexpr (!std::is_same_v<Function, Identity>) {
    saved = x.value();
  }
  context.tape.record(op, y, [&context, drawing, saved, d_x = x.gradient(), slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
      backward<Function>(context, drawing, d_y, saved, gradient, accumulate);
    });
  });
  return y;
}

}  // namespace

Variable activate(Context& context, const Variable& x, Activation f, double p, const Tensor& into) {
  switch (f) {
    case Activation::relu:
      return apply<Relu>(context, "relu", x, p, into);
    case Activation::gelu:
      return apply<Gelu>(context, "gelu", x, p, into);
    case Activation::silu:
      return apply<Silu>(context, "silu", x, p, into);
  }
  fail(ErrorKind::runtime, "activation {} does not exist", static_cast<int>(f));
}

Variable dropout(Context& context, const Variable& x, double p) {
  if (p == 0 || !context.training) return x;
  return apply<Identity>(context, "dropout", x, p);
}

Variable add_dropout(Context& context, const Variable& residual, const Variable& x, double p) {
  if (residual.shape() != x.shape()) {
    fail(ErrorKind::runtime, "add_dropout: {} cannot be added to {}", x.shape().text(), residual.shape().text());
  }
  const Drawing drawing = draw(context, x, p);
  const Variable y = context.tape.output(context.empty(x.shape()));
  visit_float(context.dtype, [&]<class T>(T) {
    drawing.launch(context, AddDropout<T>{.residual = residual.value().data<T>(),
                                          .x = x.value().data<T>(),
                                          .y = y.value().data<T>(),
                                          .pieces = drawing.pieces(),
                                          .dropout = drawing.mask<T>(context)});
  });
  context.tape.record("add_dropout", y,
                      [&context, drawing, d_residual = residual.gradient(), d_x = x.gradient(), slot = y.gradient()] {
                        const Tensor d_y = Tape::take(slot);
                        context.tape.add(d_x, [&](const Tensor& gradient, bool accumulate) {
                          backward<Identity>(context, drawing, d_y, Tensor(), gradient, accumulate);
                        });
                        if (context.tape.adopt(d_residual, d_y)) return;
                        context.tape.add(d_residual, [&](const Tensor& gradient, bool accumulate) {
                          const Drawing nothing{.samples = 1, .elements = drawing.elements};
                          backward<Identity>(context, nothing, d_y, Tensor(), gradient, accumulate);
                        });
                      });
  return y;
}

}  // namespace bev
