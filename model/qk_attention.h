// QK-norm attention of the policy's definition: queries and keys are RMS-normalised by head slices before they are
// projected (Henry et al. 2020 normalise behind the projection; this policy does it on the inputs). Here for few
// queries over many keys, in whichever of several exactly equal forms needs the fewest operations:
//
//   plain      keys and values are projected, token by token, as the reference does
//   absorbed   the key projection moves to the query, G_j = ((Q_j Wk_j) * wk) / sqrt(d), and scores are products of G
//              with U, the tokens normalised without a weight. U is the same for every attention over the same tokens.
//              Values are projected behind the weighted sum, O_j = (P_j V) Wv_j^T, or, where several dropout masks make
//              that dearer, before it. Softmax does not see the key bias: it is left out, its gradient is exactly 0.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/context.h"
#include "runtime/ops/many_key_attention.h"

namespace bev {

/// The tokens of a step as keys and values: one or more sets, side by side, each a tensor of its own (nothing is ever
/// concatenated). Copies and subsets share the normalised tokens, so the gradient through the normalisation is computed
/// once, after all attentions over a set have added to it.
class ManyKeys {
 public:
  explicit ManyKeys(int64_t heads) : heads_(heads) {}

  /// Adds a set, [samples, tokens, E], behind those that are there.
  void append(const Variable& tokens);
  /// u8 [samples, tokens()], one column a token of all sets, 0: a key to nobody. Every sample must keep one key.
  void set_valid(const Tensor& valid);

  bool empty() const { return sets_.empty(); }
  int64_t samples() const { return sets_.front()->tokens.dim(0); }
  int64_t tokens() const;  // Tk, of all sets
  int64_t heads() const { return heads_; }
  /// Set `index` alone, with its columns of the mask.
  ManyKeys only(size_t index) const;

  /// The sets, as keys and values are computed from them.
  std::vector<Variable> values() const;
  /// The sets with every head's slice scaled to unit root mean square; computed when first asked for.
  std::vector<Variable> units(Context& context) const;

  const KeyMask& mask() const { return mask_; }

 private:
  struct Set {
    Variable tokens, unit;
  };
  int64_t heads_;
  std::vector<std::shared_ptr<Set>> sets_;
  KeyMask mask_;
};

enum class AttentionForm : uint8_t {
  automatic,         // the cheapest of the three below by their operation counts
  absorbed,          // keys and values absorbed ("form A")
  values_projected,  // keys absorbed, values projected before the weighted sum ("form B")
  projected,         // keys and values projected, without the key bias
  plain,             // as `projected`, with the key bias: the reference's order of work
};

/// The random places of several dropout masks over one softmax: mask l draws at `first + l * stride`, l < count. In
/// the plain form of the decoder every layer draws its own mask of this attention, at the place that
/// Context::next_random_place() gives it there; whoever computes all layers' masks at once names those places here, so
/// that both forms draw equal masks, and counts them itself: an attention that is given places takes none.
struct DropoutPlaces {
  uint32_t first = 0, stride = 1;
  int64_t count = 1;
};

struct QkAttentionCall {
  /// Rotary embedding of queries and keys, at positions 0..Tk-1 and query index modulo Tk. The policy rotates where a
  /// model's number of queries a sample equals its number of keys. That is a property of the model, not of the call
  /// (sampling asks with the queries of many diffusion steps at once), so the caller says it.
  bool rotary = false;
  /// Several masks (see there). Without, one is drawn at the context's next random place.
  std::optional<DropoutPlaces> places = std::nullopt;
  AttentionForm form = AttentionForm::automatic;  // `plain` where rotary
};

/// Parameters of one QK-norm attention by the checkpoint's names: NAME.attn.in_proj_weight [3E, E] (rows of Wq, Wk,
/// Wv), NAME.attn.in_proj_bias, NAME.attn.out_proj.{weight,bias}, NAME.q_norm.weight [d], NAME.k_norm.weight [d].
struct QkAttention {
  Parameter *query_weight, *key_weight, *value_weight;  // [E, E], slices of in_proj_weight
  Parameter *query_bias, *key_bias, *value_bias;        // [E], slices of in_proj_bias
  Parameter *out_weight, *out_bias, *query_norm, *key_norm;
  int64_t heads;
  double dropout;  // on the attention probabilities, in training

  QkAttention(ParameterStore& store, const std::string& name, int64_t width, int64_t heads, double dropout);

  /// query [samples, Tq, E], or [1, Tq, E] where all samples ask the same (then all that depends on the query alone is
  /// computed once). Returns [samples, L, Tq, E]: L = places->count if dropout is drawn, else 1, since without dropout
  /// the masks do not differ.
  Variable operator()(Context& context, const Variable& query, const ManyKeys& keys,
                      const QkAttentionCall& call = {}) const;
};

}  // namespace bev
