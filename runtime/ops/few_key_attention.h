// Attention where queries and keys are few (kernels/few_key_attention.h), between projections that the caller makes.
#pragma once

#include "kernels/few_key_attention.h"
#include "runtime/context.h"

namespace bev {

/// Projected keys and values of several layers at once, [samples, layers, keys, E] each, or of one for all layers
/// ([samples, 1, keys, E]).
struct LayeredKeys {
  Variable k, v;
  int64_t layers() const { return k.dim(1); }
};

/// q [samples, queries, E] over the keys of `layer` (0 where one serves all layers); returns [samples, queries, E].
/// Scores are scaled by 1/sqrt(E / heads). `dropout` acts on the probabilities. Where keys hold several layers, each
/// layer must be attended to exactly once. `into`: memory for the output.
Variable few_key_attention(Context& context, const Variable& q, const LayeredKeys& keys, int64_t layer, int64_t heads,
                           const CausalMask& causal, double dropout, const Tensor& into = {});

/// Self-attention over packed projections qkv [samples, tokens, 3 E] (queries, keys, values side by side); returns
/// [samples, tokens, E].
Variable packed_self_attention(Context& context, const Variable& qkv, int64_t heads, double dropout);

}  // namespace bev
