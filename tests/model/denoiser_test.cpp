// The denoiser: its restructured form is the plain one, and sampling by a plan is the plain loop.
#include <doctest/doctest.h>

#include "tests/model/denoiser_case.h"
#include "tests/support/cpu_context.h"

namespace bev::test {

namespace {

void check_equal(const GradientCase& a, const GradientCase& b) {
  const GradientResult result = compare_cases(a, b);
  INFO(a.name << " against " << b.name << ": " << result.worst_place);
  CHECK(result.worst_error < 1e-10);
}

/// The denoiser on a filled store in float64, in evaluation, with an observation of 2 samples.
struct Sampling {
  CpuContext cpu;
  PolicyConfig config;
  ParameterStore store;
  Denoiser denoiser;
  Tensor states;
  Variable memory;
  ManyKeys keys;

  explicit Sampling(const PolicyConfig& policy) : config(policy), denoiser(store, policy), keys(policy.heads) {
    Context& context = cpu.context;
    allocate_filled(store, context);
    context.tape.set_recording(false);
    context.training = false;
    states = small_states(context, config);
    std::vector<Variable> inputs;
    for (const Shape& shape : memory_shapes(config)) inputs.push_back(Variable(filled(shape, 11)));
    memory = inputs[0];
    keys = keys_of(config, &inputs[1]);
  }
  Tensor filled(const Shape& shape, uint32_t seed) {
    const Tensor x = cpu.context.empty(shape);
    const auto numbers = random_numbers<double>(x.size(), seed);
    std::copy(numbers.begin(), numbers.end(), x.data<double>());
    return x;
  }
};

double difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double largest = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a.data<double>()[i] - b.data<double>()[i]));
  }
  return largest;
}

}  // namespace

TEST_CASE("the denoiser computes what its plain form does, values and all gradients") {
  for (const bool shared : {true, false}) {
    for (const bool causal : {true, false}) {
      for (const double dropout : {0.0, 0.3}) {
        PolicyConfig config = small_denoiser();
        config.share_decoder_layers = shared;
        config.causal = causal;
        config.dropout_attention = config.dropout_embedding = dropout;
        const GradientCase ours = denoiser_case(config);
        config.plain = true;
        check_equal(ours, denoiser_case(config));
      }
    }
  }
}

TEST_CASE("the denoiser equals its plain form with rotary embedding, without token sets, and with one of them") {
  std::vector<PolicyConfig> configs(4, small_denoiser());
  configs[0].horizon = 2;
  configs[1].vl_tokens = 1;
  configs[2].use_vl = configs[2].use_reasoning = false;
  configs[3].use_reasoning = false;
  for (PolicyConfig& config : configs) {
    config.dropout_attention = 0.2;
    const GradientCase ours = denoiser_case(config);
    config.plain = true;
    check_equal(ours, denoiser_case(config));
  }
}

TEST_CASE("a plan for several diffusion times computes what the denoiser does at each") {
  std::vector<PolicyConfig> configs(5, small_denoiser());
  configs[1].share_decoder_layers = false;
  configs[2].use_vl = configs[2].use_reasoning = false;
  configs[3].horizon = 2;
  configs[4].vl_tokens = 1;
  for (PolicyConfig& config : configs) {
    config.dropout_attention = config.dropout_embedding = 0.5;  // which evaluation leaves out
    INFO(text_of(config));
    Sampling sampling(config);
    Context& context = sampling.cpu.context;
    const int64_t times[] = {90, 42, 0};
    const Denoiser::Plan plan = sampling.denoiser.plan(context, times, sampling.states, sampling.memory, sampling.keys);
    for (int64_t k = 2; k >= 0; --k) {
      const Tensor noisy = sampling.filled({2, config.horizon, 2}, static_cast<uint32_t>(20 + k));
      const Variable expected =
          sampling.denoiser(context, Variable(noisy), constant_integers(context, {times[k], times[k]}), sampling.states,
                            sampling.memory, sampling.keys);
      CHECK(difference(sampling.denoiser.step(context, plan, k, noisy), expected.value()) < 1e-13);
    }
  }
}

TEST_CASE("a plan is refused while the tape records") {
  Sampling sampling(small_denoiser());
  sampling.cpu.context.tape.set_recording(true);
  const int64_t times[] = {1};
  CHECK_THROWS_AS(sampling.denoiser.plan(sampling.cpu.context, times, sampling.states, sampling.memory, sampling.keys),
                  Error);
}

TEST_CASE("closed gates, as a fresh model has them, pass the tokens on") {
  const PolicyConfig config = small_denoiser();
  Sampling sampling(config);
  for (const char* name :
       {"model.decoder.layers.0.adaLN_modulation.1.weight", "model.decoder.layers.0.adaLN_modulation.1.bias"}) {
    const Parameter& parameter = *sampling.store.find(name);
    CHECK(parameter.init.kind == Init::Kind::constant);
    CHECK(parameter.init.value == 0);
    std::fill_n(parameter.value.data<double>(), parameter.size(), 0.0);
  }
  const Variable x(sampling.filled({2, config.observed + config.horizon, config.width}, 4));
  const Variable c(sampling.filled({2, config.width}, 5));
  const Variable y = sampling.denoiser.decoder(sampling.cpu.context, x, sampling.memory, sampling.keys, c);
  CHECK(difference(y.value(), x.value()) == 0);
}

TEST_CASE("shared layers are one set of parameters, own layers are many") {
  PolicyConfig config = small_denoiser();
  ParameterStore one, many;
  const Denoiser shared(one, config);
  config.share_decoder_layers = false;
  const Denoiser own(many, config);
  CHECK(one.find("model.decoder.layers.1.linear1.weight") == nullptr);
  CHECK(many.find("model.decoder.layers.2.traj_memory_cross_attn.attn.in_proj_weight") != nullptr);
  CHECK(many.find("model.decoder.layers.3.norm1.weight") == nullptr);
}

}  // namespace bev::test
