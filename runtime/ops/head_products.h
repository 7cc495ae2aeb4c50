// The three matrix products of attention over many keys, forward and backward. Between queries and keys lie weights
// (scores, probabilities, their gradients) w [samples, rows, heads, row]; columns of w are the tokens of all sets, side
// by side. The operands on either side:
//
//   absorbed   x [samples, rows, heads, E] meets whole tokens [samples, tokens, E]: one product a sample, all heads'
//              rows stacked
//   by head    x [samples, rows, E] and tokens are both cut into heads: one product for each head of each sample
//
// Nothing is copied or transposed: all strides are expressed in the products.
#pragma once

#include <vector>

#include "runtime/context.h"

namespace bev {

struct HeadProducts {
  int64_t samples, rows, heads, width;  // width = E
  bool by_head;
  bool shared = false;  // x is the same for all samples: x [1, rows, ...]
  int64_t row;          // elements between rows of w

  /// Of x for `count` samples.
  Shape operand(int64_t count) const { return by_head ? Shape{count, rows, width} : Shape{count, rows, heads, width}; }
  /// Elements between rows of w for that many keys: rows start on 64-byte boundaries in float.
  static int64_t row_for(int64_t keys) { return (keys + 15) / 16 * 16; }
};

/// w = alpha x tokens^T (+ w), set by set.
void score_keys(Context& context, const HeadProducts& products, const Tensor& x, const std::vector<Variable>& sets,
                const Tensor& w, double alpha, bool accumulate);
/// x = alpha w tokens (+ x), summed over the sets. `x` has all samples, also where queries are shared.
void weigh_tokens(Context& context, const HeadProducts& products, const Tensor& w, const std::vector<Variable>& sets,
                  const Tensor& x, double alpha, bool accumulate);
/// Adds alpha w^T x to the gradient of every set that needs one.
void add_token_gradients(Context& context, const HeadProducts& products, const Tensor& w, const Tensor& x,
                         const std::vector<Variable>& sets, double alpha);

}  // namespace bev
