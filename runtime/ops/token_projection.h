// Two Linear layers behind one another, with nothing between them, on inputs that need no gradient: token embeddings
// from a frozen model. Their product is one linear map, Wc = W2 W1, bc = W2 b1 + b2: formed once, it halves the work of
// every token. The gradients of both layers come from that of the combined one, so the inner output is never needed:
//     g = dZ^T X, s = sum of dZ's rows;   dW2 = g W1^T + s b1^T,  dW1 = W2^T g,  db2 = s,  db1 = W2^T s
#pragma once

#include "runtime/context.h"

namespace bev {

/// weight [out, in], bias [out].
struct LinearParameters {
  Parameter &weight, &bias;
};

enum class ProjectionForm : uint8_t {
  automatic,  // whichever takes fewer operations for that many tokens, with the backward pass if one is recorded
  combined,
  separate,
};

/// z = W2 (W1 x + b1) + b2 for x [..., in], of the context's type.
Variable project_tokens(Context& context, const Tensor& x, const LinearParameters& first,
                        const LinearParameters& second, ProjectionForm form = ProjectionForm::automatic);

}  // namespace bev
