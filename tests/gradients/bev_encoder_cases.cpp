#include "model/bev_encoder.h"

#include <cmath>

#include "tests/gradients/cases.h"
#include "tests/support/numbers.h"

namespace bev::test {

namespace {

/// One sample of two observed steps, with constant observations.
GradientCase encoder_case(const std::string& name, const PolicyConfig& config, const Shape& observation) {
  const auto encoder = std::make_shared<std::unique_ptr<BevEncoder>>();
  return {.name = name,
          .inputs = {{2, 14}},
          .declare = [=](ParameterStore& store) { *encoder = std::make_unique<BevEncoder>(store, config); },
          .forward =
              [=](Context& c, ParameterStore&, const auto& x) {
                const Tensor observed =
                    constant(c, observation, [](int64_t i) { return 2 * std::sin(0.37 * static_cast<double>(i * i)); });
                return (**encoder)(c, observed, x[0]);
              },
          .step = 1e-4,
          .elements = 12};
}

}  // namespace

std::vector<GradientCase> bev_encoder_cases() {
  std::vector<GradientCase> cases;
  PolicyConfig config;
  config.bev_input_size = {32, 64};
  for (const int64_t cells : {2, 4}) {
    config.cells = cells;
    cases.push_back(encoder_case(fmt::format("BEV encoder, {} tokens for 2 cells", cells), config,
                                 {1, 2, cells, BevEncoder::token_width}));
  }
  config.mode = BevMode::raster;
  config.cells = 2;
  config.base_channels = 2;
  config.freeze_backbone = true;  // see backbone_cases.cpp
  cases.push_back(encoder_case("BEV encoder, raster, frozen backbone", config, {1, 2, 3, 32, 64}));
  return cases;
}

}  // namespace bev::test
