// Activations against the standard library, and dropout against the masks that its definition gives element by element.
#include "runtime/ops/activation.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/dropout.h"
#include "tests/support/cpu_context.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

template <class T>
Variable numbers(Context& context, const Shape& shape, double scale) {
  const Tensor x = context.empty(shape);
  const auto values = random_numbers<double>(x.size(), 1);
  for (int64_t i = 0; i < x.size(); ++i) x.data<T>()[i] = static_cast<T>(scale * values[static_cast<size_t>(i)]);
  return Variable(x);
}

double truth(Activation f, double x) {
  if (f == Activation::relu) return std::max(x, 0.0);
  if (f == Activation::silu) return x / (1 + std::exp(-x));
  return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
}

template <class T>
void check_values(DType type, double tolerance) {
  CpuContext cpu(type);
  const Variable x = numbers<T>(cpu.context, {3, 1501}, 8);
  for (const Activation f : {Activation::relu, Activation::gelu, Activation::silu}) {
    const Variable y = activate(cpu.context, x, f);
    double worst = 0;
    for (int64_t i = 0; i < x.size(); ++i) {
      const double at = x.value().data<T>()[i];
      worst = std::max(worst, std::abs(y.value().data<T>()[i] - truth(f, at)) / std::max(1.0, std::abs(at)));
    }
    CHECK(worst < tolerance);
  }
}

}  // namespace

TEST_CASE("activations are what the standard library computes") {
  check_values<float>(DType::f32, 3e-7);
  check_values<double>(DType::f64, 1e-15);
}

TEST_CASE("dropout keeps the elements that its mask keeps, in groups of four and beside them") {
  CpuContext cpu(DType::f32);
  Context& context = cpu.context;
  cpu.state.step = 5;
  cpu.state.sample_offset = 64;
  for (const int64_t elements : {3, 8, 1027, 4101}) {  // fewer than a group; whole groups; more than one piece
    const Variable x = numbers<float>(context, {3, elements}, 1);
    const uint32_t place = context.next_random_place() + 1;
    const Variable y = dropout(context, x, 0.25);
    const Variable z = add_dropout(context, x, x, 0.25);
    const DropoutMask<float> mask(&cpu.state, place, 0.25), next(&cpu.state, place + 1, 0.25);
    int64_t wrong = 0, kept = 0;
    for (int64_t sample = 0; sample < 3; ++sample) {
      for (int64_t i = 0; i < elements; ++i) {
        const int64_t at = sample * elements + i;
        const float value = x.value().data<float>()[at];
        wrong += y.value().data<float>()[at] != value * mask.factor(sample, i);
        wrong += std::abs(z.value().data<float>()[at] - (value + value * next.factor(sample, i))) > 1e-6f;
        kept += mask.factor(sample, i) != 0;
      }
    }
    CHECK(wrong == 0);
    if (elements > 1000) {
      CHECK(static_cast<double>(kept) == doctest::Approx(0.75 * 3 * static_cast<double>(elements)).epsilon(0.03));
    }
  }
}

TEST_CASE("nothing is dropped in evaluation") {
  CpuContext cpu;
  cpu.context.training = false;
  const Variable x = numbers<double>(cpu.context, {2, 9}, 1);
  CHECK(dropout(cpu.context, x, 0.5).value().raw() == x.value().raw());
  const Variable y = activate(cpu.context, x, Activation::gelu, 0.5);
  const Variable plain = activate(cpu.context, x, Activation::gelu);
  for (int64_t i = 0; i < x.size(); ++i) CHECK(y.value().data<double>()[i] == plain.value().data<double>()[i]);
}

}  // namespace bev::test
