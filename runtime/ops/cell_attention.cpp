#include "runtime/ops/cell_attention.h"

#include "kernels/cell_attention.h"
#include "kernels/launch.h"
#include "runtime/ops/copy.h"

namespace bev {

namespace {

struct Saved {
  Tensor scores_p, p;  // of the scores' grid [samples, scores], of the tokens' [samples, cells]; one where none resizes
  Tensor tokens;
  const Parameter* resize;
  int64_t samples, scores, cells, width, extra;
};

/// Calls body(T{}, Token{}) for the type computed in and the type that tokens are stored in.
template <class Body>
void visit_tokens(DType computed, DType stored, Body&& body) {
  visit_float(computed, [&]<class T>(T) {
    if (stored == computed) return body(T{}, T{});
    if (stored == DType::bf16) return body(T{}, uint16_t{});
    if constexpr (sizeof(T) > sizeof(float)) {
      if (stored == DType::f32) return body(T{}, float{});
    }
    fail(ErrorKind::runtime, "BEV tokens of type {} are not supported: expected {}, F32 or BF16", name_of(stored),
         name_of(computed));
  });
}

void softmax(Context& context, const Tensor& x, const Tensor& p) {
  visit_float(context.dtype, [&]<class T>(T) {
    for_rows(context.stream, x.dim(0), x.dim(1),
             SoftmaxForward<T>{.x = x.data<T>(), .p = p.data<T>(), .width = x.dim(1)});
  });
}

void softmax_backward(Context& context, const Tensor& p, const Tensor& d_p, const Tensor& d_x, bool accumulate) {
  visit_float(context.dtype, [&]<class T>(T) {
    const SoftmaxBackward<T> kernel{
        .p = p.data<T>(), .d_p = d_p.data<T>(), .d_x = d_x.data<T>(), .width = p.dim(1), .accumulate = accumulate};
    for_rows(context.stream, p.dim(0), p.dim(1), kernel);
  });
}

void weigh(Context& context, const Saved& saved, const Tensor& appended, const Tensor& out) {
  visit_tokens(context.dtype, saved.tokens.dtype(), [&]<class T, class Token>(T, Token) {
    const WeightedCells<T, Token> kernel{.p = saved.p.data<T>(),
                                         .tokens = saved.tokens.data<Token>(),
                                         .appended = appended.data<T>(),
                                         .out = out.data<T>(),
                                         .cells = saved.cells,
                                         .width = saved.width,
                                         .extra = saved.extra};
    for_rows(context.stream, saved.samples, saved.cells * saved.width, kernel);
  });
}

/// Writes d_p [samples, cells], and the tokens' gradient where they need one.
void weigh_backward(Context& context, const Saved& saved, const Tensor& d_out, const Tensor& d_p,
                    const Tensor& d_tokens, bool accumulate_tokens) {
  visit_tokens(context.dtype, saved.tokens.dtype(), [&]<class T, class Token>(T, Token) {
    const WeightedCellsBackward<T, Token> kernel{.d_out = d_out.data<T>(),
                                                 .p = saved.p.data<T>(),
                                                 .tokens = saved.tokens.data<Token>(),
                                                 .d_p = d_p.data<T>(),
                                                 .d_tokens = d_tokens.defined() ? d_tokens.data<T>() : nullptr,
                                                 .cells = saved.cells,
                                                 .width = saved.width,
                                                 .extra = saved.extra,
                                                 .accumulate_tokens = accumulate_tokens};
    for_rows(context.stream, saved.samples * saved.cells, saved.width, kernel);
  });
}

void scores_gradient(Context& context, const Saved& saved, const Tensor& d_p, const Tensor& d_scores, bool accumulate) {
  if (!saved.resize) return softmax_backward(context, saved.p, d_p, d_scores, accumulate);
  softmax_backward(context, saved.p, d_p, d_p, false);
  const Tensor d_scores_p = context.empty(saved.scores_p.shape());
  const MatmulShape product{.m = saved.samples,
                            .n = saved.scores,
                            .k = saved.cells,
                            .lda = saved.cells,
                            .ldb = saved.scores,
                            .ldc = saved.scores};
  context.matmul->run(context.stream, context.dtype, product, d_p.raw(), saved.resize->value.raw(), d_scores_p.raw(), 1,
                      0, nullptr);
  softmax_backward(context, saved.scores_p, d_scores_p, d_scores, accumulate);
}

}  // namespace

Variable attend_to_cells(Context& context, const Variable& scores, const Parameter* resize, const Variable& tokens,
                         const Variable& appended) {
  Saved saved{.scores_p = context.empty(scores.shape()),
              .p = {},
              .tokens = tokens.value(),
              .resize = resize,
              .samples = tokens.dim(0),
              .scores = scores.dim(1),
              .cells = tokens.dim(1),
              .width = tokens.dim(2),
              .extra = appended.dim(1)};
  if (resize ? resize->size() != saved.cells * saved.scores : saved.cells != saved.scores) {
    fail(ErrorKind::runtime, "{} scores cannot weigh {} BEV cells", saved.scores, saved.cells);
  }
  softmax(context, scores.value(), saved.scores_p);
  if (resize) {
    saved.p = context.empty({saved.samples, saved.cells});
    context.matmul->run(context.stream, context.dtype, linear_shape(saved.samples, saved.cells, saved.scores),
                        saved.scores_p.raw(), resize->value.raw(), saved.p.raw(), 1, 0, nullptr);
    softmax(context, saved.p, saved.p);
  } else {
    saved.p = saved.scores_p;
  }
  const Variable out = context.tape.output(context.empty({saved.samples, saved.width + saved.extra}));
  weigh(context, saved, appended.value(), out.value());

  context.tape.record("attend_to_cells", out,
                      [&context, saved, d_scores = scores.gradient(), d_tokens = tokens.gradient(),
                       d_appended = appended.gradient(), slot = out.gradient()] {
                        const Tensor d_out = Tape::take(slot);
                        const Tensor d_p = context.empty(saved.p.shape());
                        if (d_tokens) {
                          context.tape.add(d_tokens, [&](const Tensor& gradient, bool accumulate) {
                            weigh_backward(context, saved, d_out, d_p, gradient, accumulate);
                          });
                        } else {
                          weigh_backward(context, saved, d_out, d_p, Tensor(), false);
                        }
                        context.tape.add(d_appended, [&](const Tensor& gradient, bool accumulate) {
                          copy_rows(context, 1, saved.samples, saved.extra,
                                    {d_out, saved.width, 0, saved.width + saved.extra}, {gradient, 0, 0, saved.extra},
                                    accumulate);
                        });
                        context.tape.add(d_scores, [&](const Tensor& gradient, bool accumulate) {
                          scores_gradient(context, saved, d_p, gradient, accumulate);
                        });
                      });
  return out;
}

}  // namespace bev
