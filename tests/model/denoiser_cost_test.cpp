// What a training step of the denoiser costs at full size, counted on a dry stream: no number is computed, no memory
// touched.
#include <doctest/doctest.h>

#include <cstring>

#include "tests/model/denoiser_case.h"
#include "tests/support/cpu_context.h"

namespace bev::test {

namespace {

struct Cost {
  double flop;  // of matrix products, a sample
  size_t peak;  // bytes of the arena beside the weights
};

/// Forward and backward of `samples` samples, in float.
Cost cost_of(const PolicyConfig& config, int64_t samples, const Stream& stream, const std::shared_ptr<Arena>& arena) {
  StepState state;
  WorkTally tally;
  Stream counted = stream;
  counted.tally = &tally;
  Context context(counted, arena, make_cpu_matmul(), nullptr, &state, DType::f32);
  ParameterStore store;
  const Denoiser denoiser(store, config);
  std::vector<Parameter*> order;
  for (const auto& parameter : store.all()) order.push_back(parameter.get());
  store.allocate(*arena, DType::f32, order, [&](void* memory, size_t bytes) {
    if (stream.kind != DeviceKind::dry) std::memset(memory, 0, bytes);
  });
  const size_t weights = arena->in_use();
  const auto input = [&](const Shape& shape) {
    const Tensor x = context.empty(shape);
    if (stream.kind != DeviceKind::dry) std::memset(x.raw(), 0, x.bytes());
    return x;
  };
  ManyKeys keys(config.heads);
  const int64_t width = config.width;
  const Variable memory = context.tape.output(input({samples, config.memory_tokens(), width}));
  keys.append(context.tape.output(input({samples, config.vl_tokens, width})));
  keys.append(context.tape.output(input({samples, config.reasoning_tokens, width})));
  const Tensor times(std::make_shared<std::array<int64_t, 8>>(), {samples}, DType::i64);
  const Variable y = denoiser(context, Variable(input({samples, config.horizon, 2})), times,
                              input({samples, config.observed, config.state_dim}), memory, keys);
  context.tape.backward(y, [&](const Tensor& gradient, bool) {
    if (stream.kind != DeviceKind::dry) std::memset(gradient.raw(), 0, gradient.bytes());
  });
  return {tally.matmul_flop / static_cast<double>(samples), arena->peak() - weights};
}

Cost dry_cost(const PolicyConfig& config, int64_t samples) {
  return cost_of(config, samples, {.kind = DeviceKind::dry}, Arena::dry());
}

}  // namespace

TEST_CASE("the restructured denoiser needs a fraction of the plain one's products") {
  PolicyConfig config;
  config.dropout_attention = 0;
  const Cost without = dry_cost(config, 8);
  config.dropout_attention = 0.1;
  const Cost with = dry_cost(config, 8);
  config.plain = true;
  const Cost plain = dry_cost(config, 8);
  // 8.9, 13.3 and 89.3 GFLOP; 145, 196 and 769 MB for 8 samples.
  CHECK(without.flop * 10 < plain.flop);
  CHECK(with.flop * 6.5 < plain.flop);
  CHECK(without.peak < with.peak);
  CHECK(with.peak * 3 < plain.peak);
}

TEST_CASE("a dry step of the denoiser asks for the memory that a real one takes") {
  PolicyConfig config = small_denoiser();
  config.dropout_attention = config.dropout_embedding = 0.1;
  for (const bool shared : {true, false}) {
    config.share_decoder_layers = shared;
    const Cost dry = dry_cost(config, 2);
    const Cost real = cost_of(config, 2, {.kind = DeviceKind::cpu}, Arena::on_host(size_t{1} << 30));
    CHECK(dry.peak == real.peak);
    CHECK(dry.flop > 0);
    CHECK(real.flop == 0);
  }
}

}  // namespace bev::test
