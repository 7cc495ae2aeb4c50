#include "model/decoder_layer.h"

#include "runtime/ops/head_norm.h"
#include "runtime/ops/residual.h"

namespace bev {

namespace {

bool has_tokens(const PolicyConfig& config) { return config.use_vl || config.use_reasoning; }

}  // namespace

DecoderLayer::DecoderLayer(ParameterStore& store, const std::string& name, const PolicyConfig& config)
    : modulation(store, name, config.width, has_tokens(config)),
      traj_memory_cross_attn(store, name + ".traj_memory_cross_attn", config.width, config.heads,
                             config.dropout_attention),
      norm2(store, name + ".norm2", config.width),
      norm3(store, name + ".norm3", config.width),
      linear1(store, name + ".linear1", config.width, 4 * config.width, LinearInit::narrow_normal),
      linear2(store, name + ".linear2", 4 * config.width, config.width, LinearInit::narrow_normal) {
  if (!has_tokens(config)) return;
  memory_vl_cross_attn.emplace(store, name + ".memory_vl_cross_attn", config.width, config.heads,
                               config.dropout_attention);
  norm1.emplace(store, name + ".norm1", config.width);
}

Variable DecoderLayer::refine_memory(Context& context, const Variable& memory, const ManyKeys& tokens,
                                     const LayerModulation& vectors, const QkAttentionCall& call) const {
  const int64_t samples = tokens.samples(), count = memory.dim(1), width = memory.dim(2),
                times = memory.dim(0) / samples;
  const Variable query = (*norm1)(context, memory, &vectors.memory.norm).view({samples, times * count, width});
  const Variable answers = (*memory_vl_cross_attn)(context, query, tokens, call);  // [samples, masks, times * M, E]
  const int64_t masks = answers.dim(1);                                            // one in sampling
  const Variable refined =
      gated_residual(context, memory, vectors.memory.gate, answers.view({samples * times, masks * count, width}));
  return refined.view({samples, times * masks, count, width});
}

LayeredKeys DecoderLayer::project_memory(Context& context, const Variable& refined, int64_t positions,
                                         bool key_bias) const {
  const QkAttention& attention = traj_memory_cross_attn;
  const Variable normed = head_norm(context, refined, attention.key_norm, attention.heads, positions);
  return {linear(context, normed, *attention.key_weight, key_bias ? attention.key_bias : nullptr),
          linear(context, refined, *attention.value_weight, attention.value_bias)};
}

DecoderProducts::DecoderProducts(Context& context, const DecoderLayer& layer, int64_t uses, int64_t rows)
    : query(context, *layer.traj_memory_cross_attn.query_weight, layer.traj_memory_cross_attn.query_bias, uses, rows),
      out(context, *layer.traj_memory_cross_attn.out_weight, layer.traj_memory_cross_attn.out_bias, uses, rows),
      linear1(context, *layer.linear1.weight, layer.linear1.bias, uses, rows),
      linear2(context, *layer.linear2.weight, layer.linear2.bias, uses, rows) {}

}  // namespace bev
