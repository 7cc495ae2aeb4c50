#include "model/condition_encoder.h"

#include "runtime/ops/activation.h"
#include "runtime/ops/token_projection.h"
#include "runtime/ops/tokens.h"

namespace bev {

namespace {

std::string named(const std::string& name) { return "model.encoder_block." + name; }

/// A token set as the branch expects it, or an error that says which set is not.
void check_tokens(const char* name, const Tensor& tokens, const Tensor& valid, int64_t samples,
                  const PolicyConfig& config) {
  if (!tokens.defined() || tokens.shape().rank() != 3 || tokens.dim(0) != samples || tokens.dim(2) != config.vlm_dim)
    fail(ErrorKind::data, "{} {}: expected [{}, tokens, {}]", name,
         tokens.defined() ? tokens.shape().text() : "are missing", samples, config.vlm_dim);
  if (valid.defined() && valid.shape() != Shape{samples, tokens.dim(1)})
    fail(ErrorKind::data, "the mask {} does not go with {} {}", valid.shape().text(), name, tokens.shape().text());
}

}  // namespace

ConditionEncoder::Branch::Branch(ParameterStore& store, const std::string& kind, const PolicyConfig& config)
    : projection(store, named(kind + "_emb_proj"), config.vl_emb_dim, config.width, LinearInit::narrow_normal),
      norm(store, named(kind + "_emb_norm"), config.width),
      pool_query(&store.declare(named(kind + "_pool_query"), {1, 1, config.width}, Init::normal(1))),
      pooling(store, named(kind + "_attention_pooling"), config.width, config.heads, config.dropout_attention) {}

ConditionEncoder::ConditionEncoder(ParameterStore& store, const PolicyConfig& config)
    : config_(config),
      observation_(store, named("cond_obs_emb"), features, config.width, LinearInit::narrow_normal),
      position_(&store.declare(named("cond_pos_emb"), {1, config.observed + 3, config.width}, Init::constant(0))),
      pre_norm_(store, named("pre_encoder_norm"), config.width),
      memory_norm_(store, named("memory_norm"), config.width),
      memory_in_(store, named("memory_proj.0"), config.width, config.width, LinearInit::narrow_normal),
      memory_out_(store, named("memory_proj.3"), config.width, config.width, LinearInit::narrow_normal) {
  if (config.use_vl || config.use_reasoning)
    feature_encoder_.emplace(store, "feature_encoder", config.vlm_dim, config.vl_emb_dim, LinearInit::fan_in_uniform);
  if (config.use_vl) vl_.emplace(store, "vl", config);
  if (config.use_reasoning) reasoning_.emplace(store, "reasoning", config);
  for (int64_t i = 0; i < config.condition_layers; ++i)
    layers_.emplace_back(store, named(fmt::format("encoder.layers.{}", i)), config.width, config.heads,
                         config.dropout_attention);
}

Variable ConditionEncoder::embed(Context& context, const Branch& branch, const Tensor& tokens) const {
  const ProjectionForm form = config_.plain ? ProjectionForm::separate : ProjectionForm::automatic;
  const Variable projected =
      project_tokens(context, to_compute_type(context, tokens), {*feature_encoder_->weight, *feature_encoder_->bias},
                     {*branch.projection.weight, *branch.projection.bias}, form);
  return branch.norm(context, projected);
}

Variable ConditionEncoder::pool(Context& context, const Branch& branch, const ManyKeys& tokens) const {
  // One query over more than one key is never rotated; over a single key position 0 turns nothing.
  const AttentionForm form = config_.plain ? AttentionForm::plain : AttentionForm::automatic;
  const Variable query = as_variable(context, *branch.pool_query);
  return branch.pooling(context, query, tokens, {.form = form}).view({tokens.samples(), 1, config_.width});
}

Encoded ConditionEncoder::operator()(Context& context, const Variable& condition, const TokenInputs& inputs) const {
  const Scope scope(context.tape, "encoder_block");
  const int64_t samples = condition.dim(0);
  Encoded out{.memory = {}, .tokens = ManyKeys(config_.heads)};
  std::vector<MaskedSet> masked;
  const auto add_set = [&](const char* name, const Branch& branch, const Tensor& tokens, const Tensor& valid) {
    check_tokens(name, tokens, valid, samples, config_);
    out.tokens.append(embed(context, branch, tokens));
    masked.push_back({.tokens = tokens.dim(1), .data = config_.mask_padding ? tokens : Tensor(), .valid = valid});
  };
  if (vl_) add_set("VL tokens", *vl_, inputs.vl, inputs.vl_valid);
  if (reasoning_) add_set("reasoning tokens", *reasoning_, inputs.reasoning, inputs.reasoning_valid);
  const bool given = inputs.vl_valid.defined() || inputs.reasoning_valid.defined();
  const bool masking = !masked.empty() && (config_.mask_padding || given);
  if (masking) out.tokens.set_valid(valid_tokens(context, samples, masked));

  std::vector<Variable> sequence = {observation_(context, condition)};
  const auto add_pooled = [&](const Branch& branch, size_t set) {
    ManyKeys alone = out.tokens.only(set);
    // By itself: a set whose every token is padding is pooled as it is, though no other attention sees it.
    if (masking) alone.set_valid(valid_tokens(context, samples, {masked[set]}));
    sequence.push_back(pool(context, branch, alone));
  };
  if (vl_) add_pooled(*vl_, 0);
  if (reasoning_) add_pooled(*reasoning_, vl_ ? 1 : 0);
  Variable x = dropout(context, join_tokens(context, sequence, position_), config_.dropout_embedding);
  x = pre_norm_(context, x);
  for (const EncoderLayer& layer : layers_) x = layer(context, x);
  const Variable n = memory_norm_(context, x);
  const Variable hidden = activate(context, memory_in_(context, n), Activation::gelu, config_.dropout_attention);
  out.memory = add_dropout(context, n, memory_out_(context, hidden));
  return out;
}

}  // namespace bev
