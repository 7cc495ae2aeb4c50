// Attention of few queries over many keys, as the ops that its forms are put together from (kernels/many_key_softmax.h,
// runtime/ops/head_products.h). model/qk_attention.h chooses the form.
#pragma once

#include <vector>

#include "runtime/context.h"

namespace bev {

/// What may be attended to: u8, key k of sample b is element first + b * stride + k; undefined tensor: all.
struct KeyMask {
  Tensor valid;
  int64_t first = 0, stride = 0;
};

/// Dropout of the probabilities by several masks over one softmax: mask l draws at place first + l * stride. p = 0:
/// nothing is dropped, and there is one result.
struct MaskDraw {
  double p = 0;
  int64_t masks = 1;
  uint32_t place = 0, stride = 1;
};

/// Probabilities behind dropout, one set of rows a mask.
struct DroppedProbabilities {
  Variable weights;  // [samples, masks, queries, heads, row], row >= keys
  Variable sums;     // of every row, [samples, masks, queries, heads]; undefined where all are 1
};

/// softmax(alpha x k^T + mask) behind dropout. `sets` are the keys [samples, tokens, E], side by side. Either `x`
/// [samples or 1, queries, heads, E] meets whole keys (absorbed), or x [samples or 1, queries, E] and keys are both cut
/// into heads.
DroppedProbabilities attention_probabilities(Context& context, const Variable& x, const std::vector<Variable>& sets,
                                             int64_t heads, double alpha, const KeyMask& mask, const MaskDraw& draw);

/// The value bias of attention, which is not part of the values: it carries the row sums.
struct ValueBias {
  Parameter* bias = nullptr;  // [E]; null: none
  Variable sums;              // as in DroppedProbabilities
};

/// For every head the sum of whole tokens by its weights: [samples, masks, queries, heads, E].
Variable weigh_whole_tokens(Context& context, const Variable& weights, const std::vector<Variable>& sets);
/// For every head the sum of its slices of projected tokens, plus the bias: [samples, masks, queries, E].
Variable weigh_values(Context& context, const Variable& weights, const std::vector<Variable>& sets,
                      const ValueBias& bias);

/// x [samples, queries, E] behind the key projection `weight` [E, E] and the key norm's weight `norm` [d]:
/// G_j = ((x_j W_j) * norm) * scale, with W_j the rows of head j: [samples, queries, heads, E].
Variable absorb_keys(Context& context, const Variable& x, Parameter& weight, Parameter& norm, int64_t heads,
                     double scale);
/// c [samples, masks, queries, heads, E] behind the value projection: O_j = c_j W_j^T + bias: [samples, masks, queries,
/// E].
Variable project_heads(Context& context, const Variable& c, Parameter& weight, const ValueBias& bias);

}  // namespace bev
