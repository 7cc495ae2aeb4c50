#include "model/bev_encoder.h"

#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> bev_encoder_cases() {
  std::vector<GradientCase> cases;
  for (const int64_t cells : {2, 4}) {
    PolicyConfig config;
    config.bev_input_size = {32, 64};
    config.cells = cells;
    const auto encoder = std::make_shared<std::unique_ptr<BevEncoder>>();
    cases.push_back({.name = fmt::format("BEV encoder, {} tokens for 2 cells", cells),
                     .inputs = {{2, 14}},
                     .declare = [=](ParameterStore& store) { *encoder = std::make_unique<BevEncoder>(store, config); },
                     .forward =
                         [=](Context& c, ParameterStore&, const auto& x) {
                           const Tensor tokens = c.empty({1, 2, cells, BevEncoder::token_width});
                           for (int64_t i = 0; i < tokens.size(); ++i)
                             tokens.data<double>()[i] = 2 * std::sin(0.37 * static_cast<double>(i * i));
                           return (**encoder)(c, tokens, x[0]);
                         },
                     .step = 1e-4,
                     .elements = 12});
  }
  return cases;
}

}  // namespace bev::test
