#include "model/qk_attention.h"

#include <cmath>

#include "runtime/ops/head_norm.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/tokens.h"

namespace bev {

void ManyKeys::append(const Variable& tokens) {
  if (tokens.shape().rank() != 3 || tokens.dim(2) % heads_ != 0)
    fail(ErrorKind::runtime, "keys {} are not [samples, tokens, width] with a width of {} equal heads",
         tokens.shape().text(), heads_);
  if (!empty() && (tokens.dim(0) != samples() || tokens.dim(2) != sets_.front()->tokens.dim(2)))
    fail(ErrorKind::runtime, "keys {} do not go with {}", tokens.shape().text(), sets_.front()->tokens.shape().text());
  sets_.push_back(std::make_shared<Set>(Set{tokens, {}}));
}

void ManyKeys::set_valid(const Tensor& valid) {
  if (valid.shape() != Shape{samples(), tokens()})
    fail(ErrorKind::runtime, "a mask {} does not go with {} keys of {} samples", valid.shape().text(), tokens(),
         samples());
  mask_ = {.valid = valid, .first = 0, .stride = tokens()};
}

int64_t ManyKeys::tokens() const {
  int64_t count = 0;
  for (const auto& set : sets_) count += set->tokens.dim(1);
  return count;
}

ManyKeys ManyKeys::only(size_t index) const {
  ManyKeys one(heads_);
  one.sets_ = {sets_.at(index)};
  one.mask_ = mask_;
  for (size_t i = 0; i < index; ++i) one.mask_.first += sets_[i]->tokens.dim(1);
  return one;
}

std::vector<Variable> ManyKeys::values() const {
  std::vector<Variable> out;
  for (const auto& set : sets_) out.push_back(set->tokens);
  return out;
}

std::vector<Variable> ManyKeys::units(Context& context) const {
  std::vector<Variable> out;
  for (const auto& set : sets_) {
    if (!set->unit.defined()) set->unit = head_norm(context, set->tokens, nullptr, heads_);
    out.push_back(set->unit);
  }
  return out;
}

namespace {

/// The form that takes the fewest multiply-adds a sample. `masks` = L, the softmax's dropout masks.
AttentionForm cheapest_form(const Variable& query, const ManyKeys& keys, int64_t masks) {
  const auto width = static_cast<double>(query.dim(2)), heads = static_cast<double>(keys.heads()),
             tokens = static_cast<double>(keys.tokens()), queries = static_cast<double>(query.dim(1)),
             weighed = queries * static_cast<double>(masks);
  // What depends on the query alone is computed once where all samples share it.
  const double share = query.dim(0) == 1 ? static_cast<double>(keys.samples()) : 1;
  const double projecting = tokens * width * width;
  const bool absorb_keys =
      queries * (width * width / share + heads * tokens * width) < projecting + queries * tokens * width;
  const bool absorb_values = weighed * (width * width + heads * tokens * width) < projecting + weighed * tokens * width;
  if (!absorb_keys) return AttentionForm::projected;
  return absorb_values ? AttentionForm::absorbed : AttentionForm::values_projected;
}

}  // namespace

QkAttention::QkAttention(ParameterStore& store, const std::string& name, int64_t width, int64_t heads, double dropout)
    : heads(heads), dropout(dropout) {
  Parameter& weight = store.declare(name + ".attn.in_proj_weight", {3 * width, width}, Init::normal(0.02));
  Parameter& bias = store.declare(name + ".attn.in_proj_bias", {3 * width}, Init::constant(0));
  query_weight = &ParameterStore::slice(weight, 0, width);
  key_weight = &ParameterStore::slice(weight, width, width);
  value_weight = &ParameterStore::slice(weight, 2 * width, width);
  query_bias = &ParameterStore::slice(bias, 0, width);
  key_bias = &ParameterStore::slice(bias, width, width);
  value_bias = &ParameterStore::slice(bias, 2 * width, width);
  out_weight = &store.declare(name + ".attn.out_proj.weight", {width, width}, Init::normal(0.02));
  out_bias = &store.declare(name + ".attn.out_proj.bias", {width}, Init::constant(0));
  query_norm = &store.declare(name + ".q_norm.weight", {width / heads}, Init::constant(1));
  key_norm = &store.declare(name + ".k_norm.weight", {width / heads}, Init::constant(1));
}

Variable QkAttention::operator()(Context& context, const Variable& query, const ManyKeys& keys,
                                 const QkAttentionCall& call) const {
  if (keys.empty()) fail(ErrorKind::runtime, "attention {} was given no keys", query_norm->name);
  const std::vector<Variable> values = keys.values();
  if (query.shape().rank() != 3 || query.dim(2) != values.front().dim(2) ||
      (query.dim(0) != 1 && query.dim(0) != keys.samples()))
    fail(ErrorKind::runtime, "attention {}: queries {} do not go with keys {}", query_norm->name, query.shape().text(),
         values.front().shape().text());

  const DropoutPlaces places = call.places ? *call.places : DropoutPlaces{.first = context.next_random_place()};
  const MaskDraw draw{
      .p = context.training ? dropout : 0, .masks = places.count, .place = places.first, .stride = places.stride};
  AttentionForm form = call.form;
  if (call.rotary && form != AttentionForm::plain) form = AttentionForm::projected;
  if (form == AttentionForm::automatic) form = cheapest_form(query, keys, draw.p > 0 ? draw.masks : 1);
  const double scale = 1 / std::sqrt(static_cast<double>(query.dim(2) / heads));
  const int64_t positions = call.rotary ? keys.tokens() : 0;
  const Variable q =
      linear(context, head_norm(context, query, query_norm, heads, positions), *query_weight, query_bias);

  Variable heads_out;
  if (form == AttentionForm::absorbed || form == AttentionForm::values_projected) {
    const Variable g = absorb_keys(context, q, *key_weight, *key_norm, heads, scale);
    const auto p = attention_probabilities(context, g, keys.units(context), heads, 1, keys.mask(), draw);
    const ValueBias bias{value_bias, p.sums};
    if (form == AttentionForm::absorbed) {
      heads_out = project_heads(context, weigh_whole_tokens(context, p.weights, values), *value_weight, bias);
    } else {
      std::vector<Variable> projected;
      for (const Variable& set : values) projected.push_back(linear(context, set, *value_weight, nullptr));
      heads_out = weigh_values(context, p.weights, projected, bias);
    }
  } else {
    // Rotary positions run over all sets, so the sets are put into one.
    const std::vector<Variable> sets = call.rotary ? std::vector{join_tokens(context, values)} : values;
    std::vector<Variable> projected_keys, projected_values;
    for (const Variable& set : sets) {
      const Variable normed = head_norm(context, set, key_norm, heads, positions);
      projected_keys.push_back(linear(context, normed, *key_weight, form == AttentionForm::plain ? key_bias : nullptr));
      projected_values.push_back(linear(context, set, *value_weight, value_bias));
    }
    const auto p = attention_probabilities(context, q, projected_keys, heads, scale, keys.mask(), draw);
    heads_out = weigh_values(context, p.weights, projected_values, {});
  }
  return linear(context, heads_out, *out_weight, out_bias);
}

}  // namespace bev
