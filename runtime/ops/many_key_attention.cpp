#include "runtime/ops/many_key_attention.h"

#include "kernels/launch.h"
#include "kernels/many_key_softmax.h"
#include "runtime/ops/head_products.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/value_bias.h"

namespace bev {

namespace {

int64_t tokens_of(const std::vector<Variable>& sets) {
  int64_t tokens = 0;
  for (const Variable& set : sets) tokens += set.dim(1);
  return tokens;
}

template <class T>
T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

/// Adds to the gradient of `x` what `compute(target, accumulate)` says for every sample; where all samples share x, the
/// sum of it.
template <class Compute>
void add_operand_gradient(Context& context, const HeadProducts& products, const Gradient& x, const Compute& compute) {
  context.tape.add(x, [&](const Tensor& gradient, bool accumulate) {
    if (!products.shared) return compute(gradient, accumulate);
    const Tensor each = context.empty(products.operand(products.samples));
    compute(each, false);
    sum_rows(context, each, products.samples, gradient.size(), gradient, accumulate);
  });
}

struct Saved {
  HeadProducts products;
  ManyKeyShape shape;
  Variable x;
  std::vector<Variable> sets;
  Tensor probabilities, dropped;
  double alpha;
};

template <class T>
void softmax(Context& context, const Saved& saved, const KeyMask& mask, const MaskDraw& draw, const Tensor& sums) {
  const ManyKeySoftmax<T> kernel{.probabilities = saved.probabilities.data<T>(),
                                 .dropped = saved.dropped.data<T>(),
                                 .sums = data_or_null<T>(sums),
                                 .valid = mask.valid.defined() ? mask.valid.data<uint8_t>() + mask.first : nullptr,
                                 .valid_stride = mask.stride,
                                 .shape = saved.shape,
                                 .dropout = DropoutMask<T>(context.state, draw.place, draw.p),
                                 .place_stride = draw.stride};
  for_rows(context.stream, saved.products.samples * saved.shape.stride(), saved.shape.row, kernel);
}

void backward(Context& context, const Saved& saved, const Tensor& d_dropped, const Tensor& d_sums) {
  const Tensor d_scores = saved.shape.masks == 1 ? d_dropped : context.empty(saved.probabilities.shape());
  visit_float(context.dtype, [&]<class T>(T) {
    const ManyKeySoftmaxBackward<T> kernel{.probabilities = saved.probabilities.data<T>(),
                                           .dropped = saved.dropped.data<T>(),
                                           .d_dropped = d_dropped.data<T>(),
                                           .d_sums = data_or_null<T>(d_sums),
                                           .d_scores = d_scores.data<T>(),
                                           .shape = saved.shape};
    for_rows(context.stream, saved.products.samples * saved.shape.stride(), saved.shape.row * saved.shape.masks,
             kernel);
  });
  add_operand_gradient(context, saved.products, saved.x.gradient(), [&](const Tensor& target, bool accumulate) {
    weigh_tokens(context, saved.products, d_scores, saved.sets, target, saved.alpha, accumulate);
  });
  add_token_gradients(context, saved.products, d_scores, saved.x.value(), saved.sets, saved.alpha);
}

Variable weigh(Context& context, const char* op, const Variable& weights, const std::vector<Variable>& sets,
               bool by_head, const ValueBias& bias) {
  const int64_t samples = weights.dim(0), masks = weights.dim(1), queries = weights.dim(2), heads = weights.dim(3);
  const HeadProducts products{.samples = samples,
                              .rows = masks * queries,
                              .heads = heads,
                              .width = sets.front().dim(2),
                              .by_head = by_head,
                              .row = weights.dim(4)};
  Shape shape{samples, masks, queries};
  if (!by_head) shape.append(heads);
  shape.append(products.width);
  const Variable y = context.tape.output(context.empty(shape));
  const bool add = start_with_bias(context, bias, heads, y.value());
  weigh_tokens(context, products, weights.value(), sets, y.value(), 1, add);
  context.tape.record(op, y, [&context, products, weights, sets, bias, slot = y.gradient()] {
    const Tensor d_y = Tape::take(slot);
    context.tape.add(weights.gradient(), [&](const Tensor& gradient, bool accumulate) {
      score_keys(context, products, d_y, sets, gradient, 1, accumulate);
    });
    add_token_gradients(context, products, weights.value(), d_y, sets, 1);
    add_bias_gradients(context, bias, products.heads, d_y);
  });
  return y;
}

}  // namespace

DroppedProbabilities attention_probabilities(Context& context, const Variable& x, const std::vector<Variable>& sets,
                                             int64_t heads, double alpha, const KeyMask& mask, const MaskDraw& draw) {
  const bool dropping = draw.p > 0;
  const int64_t samples = sets.front().dim(0), queries = x.dim(1), keys = tokens_of(sets),
                masks = dropping ? draw.masks : 1, row = HeadProducts::row_for(keys);
  Saved saved{.products = {.samples = samples,
                           .rows = queries,
                           .heads = heads,
                           .width = sets.front().dim(2),
                           .by_head = x.shape().rank() == 3,
                           .shared = x.dim(0) != samples,
                           .row = row},
              .shape = {.heads = heads, .queries = queries, .keys = keys, .row = row, .masks = masks},
              .x = x,
              .sets = sets,
              .probabilities = context.empty({samples, 1, queries, heads, row}),
              .dropped = {},
              .alpha = alpha};
  saved.dropped = dropping ? context.empty({samples, masks, queries, heads, row}) : saved.probabilities;
  DroppedProbabilities out{.weights = context.tape.output(saved.dropped), .sums = {}};
  if (dropping) out.sums = context.tape.output(context.empty({samples, masks, queries, heads}));

  score_keys(context, saved.products, x.value(), sets, saved.probabilities, alpha, false);
  visit_float(context.dtype, [&]<class T>(T) { softmax<T>(context, saved, mask, draw, out.sums.value()); });

  context.tape.record("attention_probabilities", out.weights,
                      [&context, saved, weights = out.weights.gradient(), sums = out.sums.gradient()] {
                        const Tensor d_dropped = Tape::take(weights);
                        // Values with their bias inside do not need the sums: then no gradient reached them.
                        backward(context, saved, d_dropped, sums ? Tape::take(sums) : Tensor());
                      });
  return out;
}

Variable weigh_whole_tokens(Context& context, const Variable& weights, const std::vector<Variable>& sets) {
  return weigh(context, "weigh_whole_tokens", weights, sets, false, {});
}

Variable weigh_values(Context& context, const Variable& weights, const std::vector<Variable>& sets,
                      const ValueBias& bias) {
  return weigh(context, "weigh_values", weights, sets, true, bias);
}

}  // namespace bev
