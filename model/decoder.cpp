#include "model/decoder.h"

#include "runtime/ops/activation.h"
#include "runtime/ops/copy.h"
#include "runtime/ops/head_norm.h"
#include "runtime/ops/residual.h"
#include "runtime/ops/residual_norm.h"

namespace bev {

namespace {

/// x [outer * inner, ...] with the two counts' order exchanged: [inner * outer, ...]. Values only.
Variable exchanged(Context& context, const Variable& x, int64_t outer, int64_t inner) {
  const int64_t width = x.size() / (outer * inner);
  const Tensor y = context.empty(x.shape());
  copy_rows(context, outer, inner, width, {x.value(), 0, inner * width, width}, {y, 0, width, outer * width});
  return Variable(y);
}

/// Every sample of x [samples, ...] `times` times in a row: [samples * times, ...]. Values only.
Variable repeated(Context& context, const Variable& x, int64_t times) {
  const int64_t samples = x.dim(0), width = x.size() / samples;
  const Tensor y = context.empty({samples * times, x.dim(1), x.dim(2)});
  copy_rows(context, samples, times, width, {x.value(), 0, width, 0}, {y, 0, times * width, width});
  return Variable(y);
}

/// The vectors of the parts that follow the trajectory, [K * B, E] each, by time.
std::vector<LayerModulation> by_time(Context& context, const LayerModulation& vectors, int64_t times) {
  std::vector<LayerModulation> out(static_cast<size_t>(times));
  for (const auto part : {&LayerModulation::trajectory, &LayerModulation::feed_forward}) {
    const PartModulation& all = vectors.*part;
    const auto shift = context.tape.parts(all.norm.shift, times), scale = context.tape.parts(all.norm.scale, times),
               gate = context.tape.parts(all.gate, times);
    for (size_t k = 0; k < out.size(); ++k) out[k].*part = {{shift[k], scale[k]}, gate[k]};
  }
  return out;
}

}  // namespace

Decoder::Decoder(ParameterStore& store, const PolicyConfig& config) : config_(config) {
  const int64_t count = config.share_decoder_layers ? 1 : config.layers;
  for (int64_t i = 0; i < count; ++i) {
    layers_.emplace_back(store, fmt::format("model.decoder.layers.{}", i), config);
  }
}

std::vector<Decoder::LayerInputs> Decoder::inputs(Context& context, const Variable& memory, const ManyKeys& tokens,
                                                  const Variable& c) const {
  const int64_t count = merged() ? 1 : config_.layers, memory_tokens = memory.dim(1);
  const Variable activated = activate(context, c, Activation::silu);
  std::vector<LayerInputs> out;
  for (int64_t i = 0; i < count; ++i) {
    const Scope scope(context.tape, fmt::format("decoder.layers.{}", i));
    LayerInputs one{.vectors = layer(i).modulation(context, activated)};
    Variable refined = memory.view({memory.dim(0), 1, memory_tokens, config_.width});
    if (!tokens.empty()) {
      QkAttentionCall call{.rotary = memory_tokens == tokens.tokens(),
                           .form = config_.plain ? AttentionForm::plain : AttentionForm::automatic};
      if (merged()) call.places = DropoutPlaces{context.next_random_places(config_.layers), 1, config_.layers};
      refined = layer(i).refine_memory(context, memory, tokens, one.vectors, call);
    }
    one.keys = layer(i).project_memory(context, refined, positions(memory_tokens), config_.plain);
    out.push_back(std::move(one));
  }
  while (static_cast<int64_t>(out.size()) < config_.layers) {
    out.push_back(out.front());
    if (out.front().keys.layers() > 1) out.back().keys_of = static_cast<int64_t>(out.size()) - 1;
  }
  return out;
}

Variable Decoder::run(Context& context, Variable x, const std::vector<LayerInputs>& inputs) const {
  const int64_t count = config_.layers, rows = x.dim(0) * x.dim(1);
  const CausalMask causal{config_.causal ? config_.observed : 0};
  std::optional<DecoderProducts> products;
  Variable normed;  // of x, as the next attention sees it
  for (int64_t i = 0; i < count; ++i) {
    const Scope scope(context.tape, fmt::format("decoder.layers.{}", i));
    const LayerInputs& in = inputs[static_cast<size_t>(i)];
    const DecoderLayer& here = layer(i);
    const QkAttention& attention = here.traj_memory_cross_attn;
    if (i == 0) normed = here.norm2(context, x, &in.vectors.trajectory.norm);
    if (i == 0 || !merged()) products.emplace(context, here, merged() ? count : 1, rows);

    const Variable query = products->query(context, head_norm(context, normed, attention.query_norm, attention.heads,
                                                              positions(in.keys.k.dim(2)), products->query.input()));
    const Variable attended =
        products->out(context, few_key_attention(context, query, in.keys, in.keys_of, attention.heads, causal,
                                                 attention.dropout, products->out.input()));
    const NormedSum middle =
        gated_residual_norm(context, x, in.vectors.trajectory.gate, attended, *here.norm3.weight, *here.norm3.bias,
                            in.vectors.feed_forward.norm, products->linear1.input());
    const Variable hidden = activate(context, products->linear1(context, middle.normed), Activation::gelu,
                                     config_.dropout_attention, products->linear2.input());
    const Variable fed = products->linear2(context, hidden);
    if (i + 1 == count) return gated_residual(context, middle.sum, in.vectors.feed_forward.gate, fed);
    const LayerNorm& next = layer(i + 1).norm2;
    const NormedSum end = gated_residual_norm(context, middle.sum, in.vectors.feed_forward.gate, fed, *next.weight,
                                              *next.bias, inputs[static_cast<size_t>(i + 1)].vectors.trajectory.norm);
    x = end.sum;
    normed = end.normed;
  }
  return x;
}

Variable Decoder::operator()(Context& context, const Variable& x, const Variable& memory, const ManyKeys& tokens,
                             const Variable& c) const {
  return run(context, x, inputs(context, memory, tokens, c));
}

Decoder::Plan Decoder::plan(Context& context, const Variable& memory, const ManyKeys& tokens, const Variable& c) const {
  const int64_t times = c.dim(0), samples = c.dim(1), memory_tokens = memory.dim(1), width = config_.width;
  const Variable activated = activate(context, c.view({times * samples, width}), Activation::silu);
  Plan plan;
  for (const DecoderLayer& layer : layers_) {
    const LayerModulation vectors = layer.modulation(context, activated);  // [K * B, E] each
    Variable refined = memory.view({samples, 1, memory_tokens, width});
    if (!tokens.empty()) {
      // A sample asks with the memory tokens of all times at once, so here the times of a sample lie together.
      const auto by_sample = [&](const Variable& vector) { return exchanged(context, vector, times, samples); };
      const PartModulation& of = vectors.memory;
      const PartModulation memory_vectors{{by_sample(of.norm.shift), by_sample(of.norm.scale)}, by_sample(of.gate)};
      refined = layer.refine_memory(context, repeated(context, memory, times), tokens, {.memory = memory_vectors},
                                    {.rotary = memory_tokens == tokens.tokens()});
    }
    plan.layers.push_back({layer.project_memory(context, refined, positions(memory_tokens), config_.plain),
                           by_time(context, vectors, times)});
  }
  return plan;
}

Variable Decoder::operator()(Context& context, const Variable& x, const Plan& plan, int64_t k) const {
  std::vector<LayerInputs> inputs;
  for (int64_t i = 0; i < config_.layers; ++i) {
    const Plan::Layer& layer = plan.layers[static_cast<size_t>(config_.share_decoder_layers ? 0 : i)];
    inputs.push_back({layer.steps[static_cast<size_t>(k)], layer.keys, layer.keys.layers() > 1 ? k : 0});
  }
  return run(context, x, inputs);
}

}  // namespace bev
