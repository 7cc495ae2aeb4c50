// Two gated residuals, each with a modulated norm behind it, and uses of both results: fused, or put together from the
// two ops.
#pragma once

#include "runtime/ops/residual.h"
#include "runtime/ops/residual_norm.h"
#include "tests/support/gradient_check.h"

namespace bev::test {

inline GradientCase residual_norm_case(bool fused) {
  return {.name = fmt::format("gated residual and modulated norm, {}", fused ? "fused" : "composed"),
          .inputs = {{2, 3, 5}, {2, 5}, {2, 3, 5}, {2, 5}, {2, 5}},
          .declare =
              [](ParameterStore& store) {
                store.declare("norm.weight", {5}, Init::constant(1));
                store.declare("norm.bias", {5}, Init::constant(0));
              },
          .forward =
              [=](Context& c, ParameterStore& p, const std::vector<Variable>& x) {
                Parameter &gamma = *p.find("norm.weight"), &beta = *p.find("norm.bias");
                const Modulation modulation{x[3], x[4]};
                const auto step = [&](const Variable& stream, const Variable& f) {
                  if (fused) return gated_residual_norm(c, stream, x[1], f, gamma, beta, modulation);
                  const Variable sum = gated_residual(c, stream, x[1], f);
                  return NormedSum{sum, layer_norm(c, sum, gamma, beta, &modulation)};
                };
                const NormedSum first = step(x[0], x[2]), second = step(first.sum, first.normed),
                                third = step(second.normed, x[2]);  // nothing else comes for its sum
                return gated_residual(c, second.sum, x[1], third.normed);
              }};
}

}  // namespace bev::test
