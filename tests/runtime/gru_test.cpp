// The recurrent unit against its definition, written out for one sample and one element at a time.
#include "runtime/ops/gru.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/cpu_context.h"
#include "tests/support/gradient_check.h"

namespace bev::test {

namespace {

constexpr int64_t samples = 2, tokens = 3, in = 3, width = 4;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Row `row` of a weight times a vector, plus the bias.
double product(const Parameter& weight, const Parameter& bias, int64_t row, const double* x) {
  double sum = bias.value.data<double>()[row];
  for (int64_t i = 0; i < weight.shape[1]; ++i) {
    sum += weight.value.data<double>()[row * weight.shape[1] + i] * x[i];
  }
  return sum;
}

std::vector<double> next_state(const GruWeights& w, const double* x, const std::vector<double>& h) {
  std::vector<double> out(width);
  for (int64_t i = 0; i < width; ++i) {
    const auto input = [&](int64_t gate) { return product(*w.weight_ih, *w.bias_ih, gate * width + i, x); };
    const auto hidden = [&](int64_t gate) { return product(*w.weight_hh, *w.bias_hh, gate * width + i, h.data()); };
    const double r = sigmoid(input(0) + hidden(0)), z = sigmoid(input(1) + hidden(1));
    const double n = std::tanh(input(2) + r * hidden(2));
    out[static_cast<size_t>(i)] = (1 - z) * n + z * h[static_cast<size_t>(i)];
  }
  return out;
}

GruWeights declare_weights(ParameterStore& store) {
  return {
      .weight_ih = &store.declare("weight_ih", {3 * width, in}, Init::normal(1)),
      .weight_hh = &store.declare("weight_hh", {3 * width, width}, Init::normal(1)),
      .bias_ih = &store.declare("bias_ih", {3 * width}, Init::constant(0)),
      .bias_hh = &store.declare("bias_hh", {3 * width}, Init::constant(0)),
  };
}

}  // namespace

TEST_CASE("a gated recurrent unit computes its definition, from zero or from a given state") {
  CpuContext cpu;
  ParameterStore store;
  const GruWeights weights = declare_weights(store);
  allocate_filled(store, cpu.context);
  cpu.context.tape.set_recording(false);
  const Tensor x = cpu.context.empty({samples, tokens, in}), h0 = cpu.context.empty({samples, width});
  for (int64_t i = 0; i < x.size(); ++i) x.data<double>()[i] = std::sin(1.3 * static_cast<double>(i));
  for (int64_t i = 0; i < h0.size(); ++i) h0.data<double>()[i] = std::cos(0.7 * static_cast<double>(i));

  for (const bool given : {false, true}) {
    const Variable start = given ? Variable(h0) : Variable();
    const Variable all = gru(cpu.context, Variable(x), weights, start);
    const Variable last = gru_last(cpu.context, Variable(x), weights, start);
    double worst = 0;
    for (int64_t b = 0; b < samples; ++b) {
      std::vector<double> h(width, 0.0);
      if (given) h.assign(h0.data<double>() + b * width, h0.data<double>() + (b + 1) * width);
      for (int64_t t = 0; t < tokens; ++t) {
        h = next_state(weights, x.data<double>() + (b * tokens + t) * in, h);
        for (int64_t i = 0; i < width; ++i) {
          const double expected = h[static_cast<size_t>(i)];
          worst = std::max(worst, std::abs(all.value().data<double>()[(b * tokens + t) * width + i] - expected));
          if (t + 1 == tokens) {
            worst = std::max(worst, std::abs(last.value().data<double>()[b * width + i] - expected));
          }
        }
      }
    }
    CHECK(worst < 1e-14);
  }
}

TEST_CASE("a first state that does not fit is refused by the weight's name") {
  CpuContext cpu;
  ParameterStore store;
  const GruWeights weights = declare_weights(store);
  allocate_filled(store, cpu.context);
  const Variable x(cpu.context.empty({samples, tokens, in})), h0(cpu.context.empty({samples, width + 1}));
  CHECK_THROWS_WITH_AS(gru(cpu.context, x, weights, h0), "weight_hh: the first hidden state is [2, 5], expected [2, 4]",
                       Error);
}

}  // namespace bev::test
