#include "runtime/ops/few_key_attention.h"

#include <cmath>

#include "kernels/launch.h"

namespace bev {

namespace {

/// An operand inside a tensor: the element it starts at, and its strides.
struct Operand {
  Tensor tensor;
  int64_t first, sample, token;

  template <class T>
  HeadRows<T> rows() const {
    return {tensor.data<std::remove_const_t<T>>() + first, sample, token};
  }
  /// The same place in another tensor of this one's shape, such as its gradient.
  Operand in(const Tensor& other) const { return {other, first, sample, token}; }
};

struct Attention {
  Operand q, k, v, o;
  Tensor probabilities, dropped;
  int64_t samples, queries, keys, heads, width;
  CausalMask causal;
  double dropout;
  uint32_t place;

  template <class T>
  FewKeyShape<T> shape(const Context& context) const {
    return {.heads = heads,
            .width = width,
            .queries = queries,
            .keys = keys,
            .scale = static_cast<T>(1 / std::sqrt(static_cast<double>(width))),
            .causal = causal,
            .dropout = DropoutMask<T>(context.state, place, dropout)};
  }

  /// Of the rows of a launch. On a GPU threads share a row, one sum over a head's width after the other: more threads
  /// than that has numbers would only wait for each other. A CPU asks how much work a row is, with all its keys.
  int64_t row_width(const Stream& stream) const { return stream.kind == DeviceKind::cpu ? width * keys : width; }
};

void forward(Context& context, Attention& attention) {
  const Shape shape{attention.samples, attention.heads, attention.queries, attention.keys};
  attention.probabilities = context.empty(shape);
  attention.dropped = attention.dropout > 0 ? context.empty(shape) : attention.probabilities;
  visit_float(context.dtype, [&]<class T>(T) {
    const FewKeyForward<T> kernel{.q = attention.q.rows<const T>(),
                                  .k = attention.k.rows<const T>(),
                                  .v = attention.v.rows<const T>(),
                                  .o = attention.o.rows<T>(),
                                  .probabilities = attention.probabilities.data<T>(),
                                  .dropped = attention.dropped.data<T>(),
                                  .shape = attention.shape<T>(context)};
    for_rows(context.stream, attention.samples * attention.heads * attention.queries,
             attention.row_width(context.stream), kernel);
  });
}

struct Written {
  Tensor gradient;
  bool accumulate;
};

void backward(Context& context, const Attention& attention, const Tensor& d_o, const Written& d_q, const Written& d_k,
              const Written& d_v) {
  const Tensor workspace = context.empty(attention.probabilities.shape());
  visit_float(context.dtype, [&]<class T>(T) {
    const FewKeyBackward<T> kernel{.d_o = attention.o.in(d_o).rows<const T>(),
                                   .q = attention.q.rows<const T>(),
                                   .k = attention.k.rows<const T>(),
                                   .v = attention.v.rows<const T>(),
                                   .d_q = attention.q.in(d_q.gradient).rows<T>(),
                                   .d_k = attention.k.in(d_k.gradient).rows<T>(),
                                   .d_v = attention.v.in(d_v.gradient).rows<T>(),
                                   .probabilities = attention.probabilities.data<T>(),
                                   .dropped = attention.dropped.data<T>(),
                                   .d_scores = workspace.data<T>(),
                                   .accumulate_q = d_q.accumulate,
                                   .accumulate_k = d_k.accumulate,
                                   .accumulate_v = d_v.accumulate,
                                   .shape = attention.shape<T>(context)};
    for_rows(context.stream, attention.samples * attention.heads, attention.row_width(context.stream), kernel);
  });
}

}  // namespace

Variable few_key_attention(Context& context, const Variable& q, const LayeredKeys& keys, int64_t layer, int64_t heads,
                           const CausalMask& causal, double dropout, const Tensor& into) {
  const int64_t samples = q.dim(0), queries = q.dim(1), width = q.dim(2), count = keys.k.dim(2), layers = keys.layers();
  const Variable o = context.tape.output(context.output_memory(into, q.shape()));
  const int64_t first = layer * count * width, sample = layers * count * width;
  Attention attention{.q = {q.value(), 0, queries * width, width},
                      .k = {keys.k.value(), first, sample, width},
                      .v = {keys.v.value(), first, sample, width},
                      .o = {o.value(), 0, queries * width, width},
                      .probabilities = {},
                      .dropped = {},
                      .samples = samples,
                      .queries = queries,
                      .keys = count,
                      .heads = heads,
                      .width = width / heads,
                      .causal = causal,
                      .dropout = context.training ? dropout : 0,
                      .place = context.next_random_place()};
  forward(context, attention);
  attention.o.tensor = Tensor();
  context.tape.record("few_key_attention", o,
                      [&context, attention, slot = o.gradient(), d_q = q.gradient(), d_k = keys.k.gradient(),
                       d_v = keys.v.gradient(), layers] {
                        const Tensor d_o = Tape::take(slot);
                        // Layers own disjoint regions of the keys' gradient, each written once: nothing to add to.
                        const bool shared = layers == 1;
                        context.tape.add(d_q, [&](const Tensor& q_gradient, bool add_q) {
                          context.tape.add(d_k, [&](const Tensor& k_gradient, bool add_k) {
                            context.tape.add(d_v, [&](const Tensor& v_gradient, bool add_v) {
                              backward(context, attention, d_o, {q_gradient, add_q}, {k_gradient, add_k && shared},
                                       {v_gradient, add_v && shared});
                            });
                          });
                        });
                      });
  return o;
}

Variable packed_self_attention(Context& context, const Variable& qkv, int64_t heads, double dropout) {
  const int64_t samples = qkv.dim(0), tokens = qkv.dim(1), width = qkv.dim(2) / 3;
  const Variable o = context.tape.output(context.empty({samples, tokens, width}));
  const auto third = [&](int64_t i) { return Operand{qkv.value(), i * width, tokens * 3 * width, 3 * width}; };
  Attention attention{.q = third(0),
                      .k = third(1),
                      .v = third(2),
                      .o = {o.value(), 0, tokens * width, width},
                      .probabilities = {},
                      .dropped = {},
                      .samples = samples,
                      .queries = tokens,
                      .keys = tokens,
                      .heads = heads,
                      .width = width / heads,
                      .causal = {},
                      .dropout = context.training ? dropout : 0,
                      .place = context.next_random_place()};
  forward(context, attention);
  attention.o.tensor = Tensor();
  context.tape.record("packed_self_attention", o, [&context, attention, slot = o.gradient(), d_qkv = qkv.gradient()] {
    const Tensor d_o = Tape::take(slot);
    context.tape.add(d_qkv, [&](const Tensor& gradient, bool add) {
      backward(context, attention, d_o, {gradient, add}, {gradient, add}, {gradient, add});
    });
  });
  return o;
}

}  // namespace bev
