// A gated recurrent unit over a sequence (kernels/gru.h): one product for the inputs of all steps, one a step for the
// recurrence, and the same backward; the weights' gradients are one product each over all steps.
#pragma once

#include "runtime/context.h"

namespace bev {

/// weight_ih [3E, in], weight_hh [3E, E], biases [3E]; the thirds are the gates r, z, n.
struct GruWeights {
  Parameter *weight_ih, *weight_hh, *bias_ih, *bias_hh;
};

/// x [samples, tokens, in]; h0 [samples, E], or undefined: zeros. Returns the hidden states of all steps,
/// [samples, tokens, E].
Variable gru(Context& context, const Variable& x, const GruWeights& weights, const Variable& h0 = {});

/// As gru(), but returns the last hidden state alone, [samples, E].
Variable gru_last(Context& context, const Variable& x, const GruWeights& weights, const Variable& h0 = {});

}  // namespace bev
