#include "model/trajectory_tokens.h"

#include "runtime/ops/activation.h"
#include "runtime/ops/embedding.h"

namespace bev {

namespace {

Parameter* embedding(ParameterStore& store, const char* name, int64_t tokens, int64_t width) {
  return &store.declare(name, {1, tokens, width}, Init::normal(0.02));
}

}  // namespace

TrajectoryTokens::TrajectoryTokens(ParameterStore& store, const PolicyConfig& config)
    : hist_feature_emb(store, "model.hist_feature_emb", config.state_dim, config.width, LinearInit::narrow_normal),
      input_emb(store, "model.input_emb", 2, config.width, LinearInit::narrow_normal),
      hist_pos_emb(embedding(store, "model.hist_pos_emb", config.observed, config.width)),
      hist_segment_emb(embedding(store, "model.hist_segment_emb", 1, config.width)),
      pos_emb(embedding(store, "model.pos_emb", config.horizon, config.width)),
      fut_segment_emb(embedding(store, "model.fut_segment_emb", 1, config.width)),
      pre_decoder_norm(store, "model.pre_decoder_norm", config.width),
      dropout(config.dropout_embedding) {}

Variable TrajectoryTokens::operator()(Context& context, const Tensor& states, const Variable& noisy) const {
  const TokenPart parts[] = {{hist_feature_emb(context, Variable(states)), hist_pos_emb, hist_segment_emb},
                             {input_emb(context, noisy), pos_emb, fut_segment_emb}};
  return pre_decoder_norm(context, bev::dropout(context, embed_tokens(context, parts), dropout));
}

Variable TrajectoryTokens::history(Context& context, const Tensor& states) const {
  const TokenPart part[] = {{hist_feature_emb(context, Variable(states)), hist_pos_emb, hist_segment_emb}};
  return pre_decoder_norm(context, embed_tokens(context, part));
}

Variable TrajectoryTokens::future(Context& context, const Variable& noisy) const {
  const TokenPart part[] = {{input_emb(context, noisy), pos_emb, fut_segment_emb}};
  return pre_decoder_norm(context, embed_tokens(context, part));
}

Variable TrajectoryTokens::joined(Context& context, const Variable& history, const Variable& future) {
  const TokenPart parts[] = {{history}, {future}};
  return embed_tokens(context, parts);
}

}  // namespace bev
