#include "model/modulation.h"

#include "runtime/ops/activation.h"

namespace bev {

ModulationVector::ModulationVector(ParameterStore& store, const PolicyConfig& config)
    : ego_status_proj(store, "model.ego_status_proj", config.state_dim, config.width, LinearInit::narrow_normal),
      history_gru(store, "model.history_encoder.gru", config.state_dim, config.width),
      history_out_proj(store, "model.history_encoder.out_proj", config.width, config.width, LinearInit::narrow_normal) {
  if (config.width % 2 != 0) fail(ErrorKind::usage, "the model's width is {}: expected an even number", config.width);
}

Variable ModulationVector::of_states(Context& context, const Tensor& states) const {
  const Variable steps(states);
  const Variable now = slice_tokens(context, steps, states.dim(1) - 1, 1).view({states.dim(0), states.dim(2)});
  const Variable history = activate(context, history_gru.last(context, steps), Activation::silu);
  return add_dropout(context, ego_status_proj(context, now), history_out_proj(context, history));
}

AdaptiveModulation::AdaptiveModulation(ParameterStore& store, const std::string& name, int64_t width, bool with_memory)
    : linear(store, name + ".adaLN_modulation.1", width, 9 * width, LinearInit::zero),
      with_memory_(with_memory),
      weight_(with_memory ? linear.weight : &ParameterStore::slice(*linear.weight, 3 * width, 6 * width)),
      bias_(with_memory ? linear.bias : &ParameterStore::slice(*linear.bias, 3 * width, 6 * width)) {}

LayerModulation AdaptiveModulation::operator()(Context& context, const Variable& activated) const {
  const int64_t count = with_memory_ ? 9 : 6;
  const std::vector<Variable> vectors = split_columns(context, bev::linear(context, activated, *weight_, bias_), count);
  LayerModulation out;
  size_t next = 0;
  for (PartModulation* part : {&out.memory, &out.trajectory, &out.feed_forward}) {
    if (part == &out.memory && !with_memory_) continue;
    *part = {.norm = {vectors[next], vectors[next + 1]}, .gate = vectors[next + 2]};
    next += 3;
  }
  return out;
}

}  // namespace bev
