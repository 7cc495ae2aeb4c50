// One layer of the decoder: its parameters, and its parts as functions, which model/decoder.h puts together in more
// than one order.
//     mem' = memory + gate1 * QKattn(LN1(memory)(1 + scale1) + shift1, [V; R])
//     x   += gate2 * QKattn(LN2(x)(1 + scale2) + shift2, mem')
//     x   += gate3 * W2 dropout(gelu(W1 (LN3(x)(1 + scale3) + shift3)))
// The first two lines of work depend on nothing that an earlier layer computes.
#pragma once

#include <optional>
#include <string>

#include "model/modulation.h"
#include "model/qk_attention.h"
#include "runtime/ops/few_key_attention.h"
#include "runtime/ops/shared_linear.h"

namespace bev {

/// Parameters NAME.{adaLN_modulation.1, memory_vl_cross_attn, traj_memory_cross_attn, linear1, linear2, norm1, norm2,
/// norm3}. A model without token sets has neither memory_vl_cross_attn nor norm1: there mem' is the memory itself.
struct DecoderLayer {
  AdaptiveModulation modulation;
  std::optional<QkAttention> memory_vl_cross_attn;
  std::optional<LayerNorm> norm1;
  QkAttention traj_memory_cross_attn;
  LayerNorm norm2, norm3;
  Linear linear1, linear2;  // the feed-forward is 4E wide

  DecoderLayer(ParameterStore& store, const std::string& name, const PolicyConfig& config);

  /// mem' for every mask that `call` asks for: memory [B, M, E]; returns [B, L, M, E]. Or, for sampling, for several
  /// diffusion times at once: memory and vectors of B * times samples, those of one observation behind one another;
  /// returns [B, times, M, E]. Only where there are token sets.
  Variable refine_memory(Context& context, const Variable& memory, const ManyKeys& tokens,
                         const LayerModulation& vectors, const QkAttentionCall& call) const;

  /// Keys and values of the second attention: refined [samples, L, M, E]. `positions` > 0: rotary embedding. The key
  /// bias has no effect on attention; it is added only if `key_bias`.
  LayeredKeys project_memory(Context& context, const Variable& refined, int64_t positions, bool key_bias) const;
};

/// The four Linear layers that the trajectory's tokens pass, for `uses` layers with the same weights, `rows` tokens
/// each.
struct DecoderProducts {
  SharedLinear query, out, linear1, linear2;

  DecoderProducts(Context& context, const DecoderLayer& layer, int64_t uses, int64_t rows);
};

}  // namespace bev
