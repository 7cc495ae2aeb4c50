// Tokens on their way into the model (kernels/tokens.h): from the data's type to the model's, masks of those that hold
// data, and sets of tokens side by side.
#pragma once

#include <vector>

#include "runtime/context.h"

namespace bev {

/// The same numbers in the context's type: bf16, f32 or f64 in; `x` itself where it has that type already.
Tensor to_compute_type(Context& context, const Tensor& x);

/// One set of tokens in a mask.
struct MaskedSet {
  int64_t tokens;
  Tensor data;   // [samples, tokens, width], bf16, f32 or f64: a token is valid where its row is not all zero
  Tensor valid;  // u8 [samples, tokens]: decides instead, where defined. Neither: all are valid
};
/// u8 [samples, all tokens], a column a token, set by set. A sample without a single valid token in all of them is not
/// masked: an attention must have something to attend to.
Tensor valid_tokens(Context& context, int64_t samples, const std::vector<MaskedSet>& sets);

/// [x_0; x_1; ...], x_i [samples, tokens_i, E]; plus the first rows of `position` [1, tokens or more, E], which may be
/// null.
Variable join_tokens(Context& context, const std::vector<Variable>& parts, Parameter* position = nullptr);

/// A parameter as a variable, for parameters that are inputs rather than weights: learned queries.
Variable as_variable(Context& context, Parameter& parameter);

}  // namespace bev
