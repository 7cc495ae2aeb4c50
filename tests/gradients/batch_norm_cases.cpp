#include "runtime/ops/batch_norm.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> batch_norm_cases() {
  std::vector<GradientCase> cases;
  for (const bool of_batch : {true, false}) {
    for (const bool relu : {false, true}) {
      for (const bool residual : {false, true}) {
        // 6 rows of 5 channels are joined in twos; see BatchNormLayout.
        const std::string name = fmt::format("batch norm of {}{}{}", of_batch ? "the batch" : "running statistics",
                                             residual ? ", residual" : "", relu ? ", relu" : "");
        std::vector<Shape> inputs(residual ? 2 : 1, Shape{1, 2, 3, 5});
        cases.push_back({.name = name,
                         .inputs = std::move(inputs),
                         .declare =
                             [](ParameterStore& store) {
                               store.declare("norm.weight", {5}, Init::constant(1));
                               store.declare("norm.bias", {5}, Init::constant(0));
                               store.declare_buffer("norm.running_mean", {5}, 0);
                               store.declare_buffer("norm.running_var", {5}, 1);
                             },
                         .forward =
                             [=](Context& c, ParameterStore& p, const auto& x) {
                               const BatchNormParameters norm{p.find("norm.weight"), p.find("norm.bias"),
                                                              p.find("norm.running_mean"), p.find("norm.running_var")};
                               return batch_norm(c, x[0], norm, {.of_batch = of_batch, .relu = relu},
                                                 residual ? &x[1] : nullptr);
                             },
                         .step = relu ? 1e-5 : 1e-3});
      }
    }
  }
  return cases;
}

}  // namespace bev::test
