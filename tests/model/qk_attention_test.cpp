// Every form of QK-norm attention computes the plain form's function, and draws the plain form's dropout masks.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/model/qk_attention_case.h"
#include "tests/support/cpu_context.h"

namespace bev::test {

namespace {

constexpr double tolerance = 1e-10;
constexpr AttentionForm restructured[] = {AttentionForm::automatic, AttentionForm::absorbed,
                                          AttentionForm::values_projected, AttentionForm::projected};

}  // namespace

TEST_CASE("the forms of QK-norm attention are equal, values and all gradients") {
  for (const AttentionForm form : restructured) {
    for (const double dropout : {0.0, 0.3}) {
      for (const int64_t masks : {1, 3}) {
        for (int options = 0; options < 8; ++options) {
          QkAttentionOptions o{.form = form,
                               .dropout = dropout,
                               .masks = masks,
                               .shared_query = (options & 1) != 0,
                               .masked_keys = (options & 2) != 0,
                               .rotary = (options & 4) != 0};
          const GradientCase ours = qk_attention_case(o);
          o.form = AttentionForm::plain;
          const GradientResult result = compare_cases(ours, qk_attention_case(o));
          INFO(ours.name << ": " << result.worst_place);
          CHECK(result.worst_error < tolerance);
        }
      }
    }
  }
}

TEST_CASE("several masks over one softmax are those that as many attentions would draw") {
  constexpr int64_t layers = 3;
  const auto make = [](AttentionForm form, bool at_once) {
    const auto layer = std::make_shared<std::optional<QkAttention>>();
    return GradientCase{.name = at_once ? "at once" : "one by one",
                        .inputs = {{2, 3, 8}, {2, 5, 8}},
                        .declare = [=](ParameterStore& store) { layer->emplace(store, "x", 8, 2, 0.4); },
                        .forward =
                            [=](Context& c, ParameterStore&, const std::vector<Variable>& x) {
                              ManyKeys keys(2);
                              keys.append(x[1]);
                              if (at_once) {
                                const DropoutPlaces places{
                                    .first = c.next_random_place(), .stride = 2, .count = layers};
                                const Variable y = (**layer)(c, x[0], keys, {.places = places, .form = form});
                                return y.view({2, layers * 3, 8});
                              }
                              std::vector<Variable> all;
                              for (int64_t i = 0; i < layers; ++i) {
                                all.push_back((**layer)(c, x[0], keys, {.form = form}).view({2, 3, 8}));
                                c.next_random_place();  // another dropout of the layer
                              }
                              return join_tokens(c, all);
                            }};
  };
  for (const AttentionForm form : {AttentionForm::absorbed, AttentionForm::values_projected}) {
    const GradientResult result = compare_cases(make(form, true), make(AttentionForm::plain, false));
    INFO(result.worst_place);
    CHECK(result.worst_error < tolerance);
  }
}

TEST_CASE("dropout masks differ from mask to mask, and are off outside of training") {
  CpuContext cpu;
  ParameterStore store;
  const QkAttention layer(store, "x", 8, 2, 0.5);
  allocate_filled(store, cpu.context);
  cpu.context.tape.set_recording(false);
  const auto filled = [&](const Shape& shape) {
    const Tensor x = cpu.context.empty(shape);
    for (int64_t i = 0; i < x.size(); ++i) x.data<double>()[i] = std::sin(static_cast<double>(i));
    return Variable(x);
  };
  ManyKeys keys(2);
  keys.append(filled({2, 40, 8}));
  const Variable query = filled({2, 3, 8});
  const QkAttentionCall call{.places = DropoutPlaces{0, 1, 2}};
  const Variable y = layer(cpu.context, query, keys, call);
  REQUIRE(y.shape() == Shape{2, 2, 3, 8});
  bool equal = true;
  for (int64_t i = 0; i < 24; ++i) equal = equal && y.value().data<double>()[i] == y.value().data<double>()[24 + i];
  CHECK_FALSE(equal);
  cpu.context.training = false;
  CHECK(layer(cpu.context, query, keys, call).shape() == Shape{2, 1, 3, 8});
}

TEST_CASE("the queries of several diffusion steps at once get what each step's would get alone") {
  constexpr int64_t steps = 3, tokens = 5;
  for (const bool rotary : {false, true}) {
    const auto make = [&](bool at_once) {
      const auto layer = std::make_shared<std::optional<QkAttention>>();
      return GradientCase{
          .name = at_once ? "at once" : "step by step",
          .inputs = {{2, steps * tokens, 8}, {2, tokens, 8}},
          .declare = [=](ParameterStore& store) { layer->emplace(store, "x", 8, 2, 0); },
          .forward =
              [=](Context& c, ParameterStore&, const std::vector<Variable>& x) {
                ManyKeys keys(2);
                keys.append(x[1]);
                const auto attend = [&](const Variable& query) {
                  const Variable y = (**layer)(c, query, keys, {.rotary = rotary});
                  return y.view({y.dim(0), y.dim(2), 8});
                };
                if (at_once) return attend(x[0]);
                // Sample by sample and step by step, each from its rows of the queries.
                const std::vector<Variable> queries = c.tape.parts(x[0].view({2 * steps, tokens, 8}), 2 * steps);
                const std::vector<Variable> sample = c.tape.parts(x[1], 2);
                std::vector<Variable> samples;
                for (int64_t b = 0; b < 2; ++b) {
                  ManyKeys own(2);
                  own.append(sample[static_cast<size_t>(b)]);
                  std::vector<Variable> each;
                  for (int64_t k = 0; k < steps; ++k) {
                    const Variable y =
                        (**layer)(c, queries[static_cast<size_t>(b * steps + k)], own, {.rotary = rotary});
                    each.push_back(y.view({1, tokens, 8}));
                  }
                  samples.push_back(join_tokens(c, each));
                }
                return join_tokens(c, samples);
              }};
    };
    const GradientResult result = compare_cases(make(true), make(false));
    INFO(result.worst_place);
    CHECK(result.worst_error < tolerance);
  }
}

TEST_CASE("attention refuses what does not fit together") {
  CpuContext cpu;
  ParameterStore store;
  const QkAttention layer(store, "x", 8, 2, 0);
  allocate_filled(store, cpu.context);
  ManyKeys keys(2);
  const auto zeros = [&](const Shape& shape) { return Variable(cpu.context.empty(shape)); };
  CHECK_THROWS_AS(layer(cpu.context, zeros({2, 3, 8}), keys), Error);  // no keys
  keys.append(zeros({2, 5, 8}));
  CHECK_THROWS_AS(keys.append(zeros({3, 5, 8})), Error);
  CHECK_THROWS_AS(keys.append(zeros({2, 5, 7})), Error);
  CHECK_THROWS_AS(keys.set_valid(cpu.context.empty({2, 6}, DType::u8)), Error);
  CHECK_THROWS_AS(layer(cpu.context, zeros({3, 3, 8}), keys), Error);
}

}  // namespace bev::test
