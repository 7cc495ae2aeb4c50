// The pre-norm transformer encoder layer of the condition encoder (Vaswani et al. 2017, with the norms inside as in
// Xiong et al. 2020):
//     x += dropout(SA(LN1 x)),   x += dropout(W2 dropout(gelu(W1 LN2 x)))
#pragma once

#include "model/layers.h"

namespace bev {

struct EncoderLayer {
  LayerNorm norm1, norm2;
  Parameter *in_weight, *in_bias;  // [3E, E], [3E]: queries, keys, values
  Linear out, linear1, linear2;    // the feed-forward is 4E wide
  int64_t heads;
  double dropout;

  /// Parameters NAME.{self_attn.in_proj_weight, self_attn.in_proj_bias, self_attn.out_proj, linear1, linear2, norm1,
  /// norm2}.
  EncoderLayer(ParameterStore& store, const std::string& name, int64_t width, int64_t heads, double dropout);

  /// x [samples, tokens, E]
  Variable operator()(Context& context, const Variable& x) const;
};

}  // namespace bev
