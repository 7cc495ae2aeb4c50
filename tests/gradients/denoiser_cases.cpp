#include "tests/gradients/cases.h"
#include "tests/model/denoiser_case.h"

namespace bev::test {

namespace {

template <class Part, class Forward>
GradientCase part_case(const std::string& name, const PolicyConfig& config, std::vector<Shape> inputs,
                       Forward forward) {
  const auto part = std::make_shared<std::optional<Part>>();
  return {.name = name,
          .inputs = std::move(inputs),
          .declare = [=](ParameterStore& store) { part->emplace(store, config); },
          .forward = [=](Context& context, ParameterStore&,
                         const std::vector<Variable>& x) { return forward(context, **part, x); }};
}

std::vector<GradientCase> part_cases(double dropout) {
  PolicyConfig config = small_denoiser();
  config.dropout_embedding = dropout;
  const int64_t tokens = config.observed + config.horizon;
  return {part_case<TrajectoryTokens>(fmt::format("trajectory tokens, dropout {}", dropout), config,
                                      {{2, config.horizon, 2}},
                                      [=](Context& c, const TrajectoryTokens& part, const auto& x) {
                                        return part(c, small_states(c, config), x[0]);
                                      }),
          part_case<TrajectoryHead>(fmt::format("trajectory head, dropout {}", dropout), config,
                                    {{2, tokens, config.width}, {2, config.width}},
                                    [](Context& c, const TrajectoryHead& part, const auto& x) {
                                      return part(c, x[0], part.first_state(c, x[1]));
                                    })};
}

}  // namespace

std::vector<GradientCase> denoiser_cases() {
  std::vector<GradientCase> cases = part_cases(0);
  for (GradientCase& test : part_cases(0.3)) cases.push_back(std::move(test));
  const PolicyConfig small = small_denoiser();
  cases.push_back(part_case<ModulationVector>("modulation vector", small, {},
                                              [=](Context& c, const ModulationVector& part, const auto&) {
                                                return part(c, small_states(c, small), constant_integers(c, {0, 99}));
                                              }));
  for (const bool plain : {false, true}) {
    for (const bool shared : {true, false}) {
      for (const double dropout : {0.0, 0.3}) {
        PolicyConfig config = small;
        config.plain = plain;
        config.share_decoder_layers = shared;
        config.dropout_attention = config.dropout_embedding = dropout;
        config.causal = dropout > 0;
        cases.push_back(decoder_case(config));
        cases.push_back(denoiser_case(config));
      }
    }
    PolicyConfig config = small;
    config.plain = plain;
    config.use_vl = config.use_reasoning = false;
    cases.push_back(denoiser_case(config));
    config = small;
    config.plain = plain;
    config.horizon = 2;  // as many queries as memory tokens
    cases.push_back(denoiser_case(config));
    config.horizon = 3;
    config.vl_tokens = 1;  // as many memory tokens as there are others
    cases.push_back(denoiser_case(config));
  }
  return cases;
}

}  // namespace bev::test
