#include "model/denoiser.h"

namespace bev {

Variable Denoiser::operator()(Context& context, const Variable& noisy, const Tensor& times, const Tensor& states,
                              const Variable& memory, const ManyKeys& keys, Variable* decoded) const {
  const Variable c = modulation(context, states, times);
  const Variable x = decoder(context, tokens(context, states, noisy), memory, keys, c);
  if (decoded) *decoded = x;
  const Scope scope(context.tape, "trajectory_head");
  return head(context, x, head.first_state(context, c));
}

Denoiser::Plan Denoiser::plan(Context& context, std::span<const int64_t> times, const Tensor& states,
                              const Variable& memory, const ManyKeys& keys) const {
  if (context.tape.recording() || context.training) {
    fail(ErrorKind::runtime, "sampling was planned while the tape records or the model trains");
  }
  const int64_t count = static_cast<int64_t>(times.size()), samples = states.dim(0), width = memory.dim(2);
  const Variable c(add_time_embeddings(context, modulation.of_states(context, states).value(), times));
  const Variable first = head.first_state(context, c.view({count * samples, width}));
  return {.history = tokens.history(context, states),
          .decoder = decoder.plan(context, memory, keys, c),
          .first_states = context.tape.parts(first, count)};
}

Tensor Denoiser::step(Context& context, const Plan& plan, int64_t k, const Tensor& noisy) const {
  const Variable future = tokens.future(context, Variable(noisy));
  const Variable x = TrajectoryTokens::joined(context, plan.history, future);
  const Variable decoded = decoder(context, x, plan.decoder, k);
  return head(context, decoded, plan.first_states[static_cast<size_t>(k)]).value();
}

}  // namespace bev
