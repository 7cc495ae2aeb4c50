// The condition encoder: what the observation says, as a few memory tokens for the denoiser to attend to. The token
// sets (vision-language, reasoning) are projected and normalised; a learned query of each pools one token from it;
// these join the observed steps' features in a small transformer. The denoiser attends to the token sets themselves,
// too, so they are part of the result.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/layers.h"
#include "model/policy_config.h"
#include "model/qk_attention.h"
#include "model/transformer_layer.h"

namespace bev {

/// The token sets of a micro-batch, in the device's memory; undefined where the model has no such branch.
struct TokenInputs {
  Tensor vl, reasoning;  // [B, Tv, vlm_dim], [B, Tr, vlm_dim]; bf16, f32 or f64
  /// u8 [B, Tv], [B, Tr], 0: a key to nobody. Undefined: all are valid, or, with `mask_padding`, the rows that are not
  /// all zero. An attention without a single valid key, in a pool or over both sets, sees them all.
  Tensor vl_valid, reasoning_valid;
};

struct Encoded {
  Variable memory;  // [B, M, E]
  ManyKeys tokens;  // [V; R] with their mask; empty where the model has neither
};

/// Parameters `feature_encoder.*` and `model.encoder_block.*`.
class ConditionEncoder {
 public:
  static constexpr int64_t features = 256;  // of the BEV encoder, an observed step

  ConditionEncoder(ParameterStore& store, const PolicyConfig& config);

  /// condition [B, To, features]
  Encoded operator()(Context& context, const Variable& condition, const TokenInputs& inputs) const;

 private:
  /// What one token set needs.
  struct Branch {
    Linear projection;
    LayerNorm norm;
    Parameter* pool_query;  // [1, 1, E]
    QkAttention pooling;
    Branch(ParameterStore& store, const std::string& kind, const PolicyConfig& config);
  };
  Variable embed(Context& context, const Branch& branch, const Tensor& tokens) const;
  Variable pool(Context& context, const Branch& branch, const ManyKeys& tokens) const;

  PolicyConfig config_;
  std::optional<Linear> feature_encoder_;  // one for both sets
  std::optional<Branch> vl_, reasoning_;
  Linear observation_;
  Parameter* position_;  // [1, To + 3, E], of which the first M rows are used
  LayerNorm pre_norm_;
  std::vector<EncoderLayer> layers_;
  LayerNorm memory_norm_;
  Linear memory_in_, memory_out_;
};

}  // namespace bev
