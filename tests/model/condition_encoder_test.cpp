// The condition encoder: its restructured form is the plain one, and masks, token types and absent branches do what the
// policy's definition says.
#include <doctest/doctest.h>

#include <bit>

#include "tests/model/condition_encoder_case.h"
#include "tests/support/cpu_context.h"

namespace bev::test {

namespace {

void check_equal(const GradientCase& a, const GradientCase& b) {
  const GradientResult result = compare_cases(a, b);
  INFO(a.name << " against " << b.name << ": " << result.worst_place);
  CHECK(result.worst_error < 1e-10);
}

/// The encoder on a filled store in float64; nothing is recorded.
struct Encoder {
  CpuContext cpu;
  ParameterStore store;
  ConditionEncoder encoder;
  Variable condition;

  explicit Encoder(const PolicyConfig& config) : encoder(store, config) {
    allocate_filled(store, cpu.context);
    cpu.context.tape.set_recording(false);
    const Tensor x = cpu.context.empty({2, config.observed, ConditionEncoder::features});
    const auto numbers = random_numbers<double>(x.size(), 5);
    std::copy(numbers.begin(), numbers.end(), x.data<double>());
    condition = Variable(x);
  }
  std::vector<double> memory(const TokenInputs& inputs) {
    const Encoded out = encoder(cpu.context, condition, inputs);
    return {out.memory.value().data<double>(), out.memory.value().data<double>() + out.memory.size()};
  }
};

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("the condition encoder computes what its plain form does, values and all gradients") {
  for (const double dropout : {0.0, 0.3}) {
    for (const bool mask : {false, true}) {
      for (const int64_t width : {8, 32}) {  // 32: keys are projected where the count says so
        PolicyConfig config = small_encoder();
        config.dropout_attention = config.dropout_embedding = dropout;
        config.mask_padding = mask;
        config.width = width;
        const GradientCase ours = condition_encoder_case("restructured", config, true);
        config.plain = true;
        check_equal(ours, condition_encoder_case("plain", config, true));
      }
    }
  }
}

TEST_CASE("many tokens are projected by a combined weight, as two layers would") {
  PolicyConfig config = small_encoder();
  config.vl_tokens = 60;
  const GradientCase ours = condition_encoder_case("many tokens", config, true);
  config.plain = true;
  check_equal(ours, condition_encoder_case("many tokens, plain", config, true));
}

TEST_CASE("masks that the zero rows give are those that are given; a set of none is not masked") {
  PolicyConfig config = small_encoder();
  const GradientCase given = condition_encoder_case("masks given", config, true, true);
  config.mask_padding = true;
  check_equal(condition_encoder_case("masks found", config, true), given);
}

TEST_CASE("a masked token changes nothing, an unmasked one does") {
  PolicyConfig config = small_encoder();
  config.mask_padding = true;
  Encoder model(config);
  TokenInputs inputs = small_tokens(model.cpu.context, config);
  inputs.vl_valid = mask_of(model.cpu.context, 5, "1110110111");
  const std::vector<double> before = model.memory(inputs);
  double* rows = inputs.vl.data<double>();
  for (int64_t i = 0; i < config.vlm_dim; ++i) rows[3 * config.vlm_dim + i] += 1;  // sample 0, token 3
  CHECK(difference(model.memory(inputs), before) == 0);
  for (int64_t i = 0; i < config.vlm_dim; ++i) rows[i] += 1;
  CHECK(difference(model.memory(inputs), before) > 1e-6);
}

TEST_CASE("tokens in bf16 and in float are the numbers they stand for") {
  const PolicyConfig config = small_encoder();
  Encoder model(config);
  const TokenInputs doubles = small_tokens(model.cpu.context, config);
  TokenInputs halves, floats;
  for (const auto member : {&TokenInputs::vl, &TokenInputs::reasoning}) {
    const Tensor& x = doubles.*member;
    halves.*member = model.cpu.context.empty(x.shape(), DType::bf16);
    floats.*member = model.cpu.context.empty(x.shape(), DType::f32);
    for (int64_t i = 0; i < x.size(); ++i) {
      const auto bits = std::bit_cast<uint32_t>(static_cast<float>(x.data<double>()[i])) & 0xffff0000u;
      (halves.*member).data<uint16_t>()[i] = static_cast<uint16_t>(bits >> 16);
      (floats.*member).data<float>()[i] = std::bit_cast<float>(bits);
      x.data<double>()[i] = std::bit_cast<float>(bits);
    }
  }
  const std::vector<double> expected = model.memory(doubles);
  CHECK(difference(model.memory(halves), expected) == 0);
  CHECK(difference(model.memory(floats), expected) == 0);
}

TEST_CASE("branches that a model has not are not in its parameters, and its memory is shorter") {
  for (const bool use_vl : {false, true}) {
    for (const bool use_reasoning : {false, true}) {
      PolicyConfig config = small_encoder();
      config.use_vl = use_vl;
      config.use_reasoning = use_reasoning;
      Encoder model(config);
      CHECK((model.store.find("model.encoder_block.vl_pool_query") != nullptr) == use_vl);
      CHECK((model.store.find("model.encoder_block.reasoning_attention_pooling.q_norm.weight") != nullptr) ==
            use_reasoning);
      CHECK((model.store.find("feature_encoder.weight") != nullptr) == (use_vl || use_reasoning));
      const TokenInputs inputs = small_tokens(model.cpu.context, config);
      const Encoded out = model.encoder(model.cpu.context, model.condition, inputs);
      CHECK(out.memory.shape() == Shape{2, config.memory_tokens(), config.width});
      CHECK(out.tokens.empty() == !(use_vl || use_reasoning));
      if (!out.tokens.empty())
        CHECK(out.tokens.tokens() == (use_vl ? config.vl_tokens : 0) + (use_reasoning ? config.reasoning_tokens : 0));
    }
  }
}

TEST_CASE("token sets that do not fit are refused by name") {
  const PolicyConfig config = small_encoder();
  Encoder model(config);
  TokenInputs inputs = small_tokens(model.cpu.context, config);
  const Tensor vl = inputs.vl;
  inputs.vl = Tensor();
  CHECK_THROWS_WITH_AS(model.memory(inputs), "VL tokens are missing: expected [2, tokens, 6]", Error);
  inputs.vl = vl.view({2, 3, 10});
  CHECK_THROWS_WITH_AS(model.memory(inputs), "VL tokens [2, 3, 10]: expected [2, tokens, 6]", Error);
  inputs.vl = vl;
  inputs.reasoning_valid = mask_of(model.cpu.context, 2, "1111");
  CHECK_THROWS_WITH_AS(model.memory(inputs), "the mask [2, 2] does not go with reasoning tokens [2, 3, 6]", Error);
  inputs.reasoning_valid = Tensor();
  inputs.vl = model.cpu.context.empty({2, 5, 6}, DType::i32);
  CHECK_THROWS_WITH_AS(model.memory(inputs), "tokens of type I32 are not supported: expected BF16, F32 or F64", Error);
}

}  // namespace bev::test
