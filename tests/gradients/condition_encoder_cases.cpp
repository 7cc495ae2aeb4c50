#include <optional>

#include "runtime/ops/token_projection.h"
#include "tests/gradients/cases.h"
#include "tests/model/condition_encoder_case.h"

namespace bev::test {

namespace {

GradientCase projection(const char* name, ProjectionForm form) {
  return {.name = fmt::format("token projection, {}", name),
          .inputs = {},
          .declare =
              [](ParameterStore& store) {
                store.declare("first", {4, 5}, Init::normal(1));
                store.declare("first.bias", {4}, Init::constant(0));
                store.declare("second", {3, 4}, Init::normal(1));
                store.declare("second.bias", {3}, Init::constant(0));
              },
          .forward =
              [form](Context& c, ParameterStore& p, const auto&) {
                const Tensor x = constant(c, {2, 3, 5}, random_numbers<double>(2 * 3 * 5, 3));
                const LinearParameters first{*p.find("first"), *p.find("first.bias")},
                    second{*p.find("second"), *p.find("second.bias")};
                // Two token sets share the first layer.
                return join_tokens(c, {project_tokens(c, x, first, second, form),
                                       project_tokens(c, x.part(5, {2, 1, 5}), first, second, form)});
              }};
}

GradientCase encoder_layer(double dropout) {
  const auto layer = std::make_shared<std::optional<EncoderLayer>>();
  return {.name = fmt::format("encoder layer, dropout {}", dropout),
          .inputs = {{2, 3, 8}},
          .declare = [=](ParameterStore& store) { layer->emplace(store, "layer", 8, 2, dropout); },
          .forward = [=](Context& c, ParameterStore&, const auto& x) { return (**layer)(c, x[0]); }};
}

}  // namespace

std::vector<GradientCase> condition_encoder_cases() {
  std::vector<GradientCase> cases = {projection("combined", ProjectionForm::combined),
                                     projection("separate", ProjectionForm::separate), encoder_layer(0),
                                     encoder_layer(0.3)};
  PolicyConfig config = small_encoder();
  cases.push_back(condition_encoder_case("alone", config, false));
  cases.push_back(condition_encoder_case("with an attention over its tokens", config, true));
  config.mask_padding = true;
  config.dropout_attention = config.dropout_embedding = 0.3;
  cases.push_back(condition_encoder_case("dropout, padding masked", config, true));
  config.plain = true;
  cases.push_back(condition_encoder_case("dropout, padding masked, plain", config, true));
  return cases;
}

}  // namespace bev::test
