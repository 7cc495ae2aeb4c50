#include "tests/support/evaluation.h"

#include <algorithm>
#include <cmath>

#include "tests/support/cpu_context.h"
#include "tests/support/numbers.h"

namespace bev::test {

namespace {

constexpr int64_t first_parameter = 100;  // number of the first parameter as a tensor that is filled

double largest_of(const std::vector<double>& numbers) {
  double largest = 0;
  for (const double x : numbers) largest = std::max(largest, std::abs(x));
  return largest;
}

double norm_of(const std::vector<double>& numbers) {
  double sum = 0;
  for (const double x : numbers) sum += x * x;
  return std::sqrt(sum);
}

using Measure = double (*)(const std::vector<double>&);

/// Calls compare(name, ours, theirs, size) for every tensor, size being its measure or 1e-3 of the largest of all
/// gradients' (the first tensor is the output). An error of 1 if the runs do not hold the same tensors.
template <class Compare>
GradientResult compare_all(const std::vector<NamedNumbers>& ours, const std::vector<NamedNumbers>& theirs,
                           Measure measure, Compare compare) {
  if (ours.size() != theirs.size()) return {1, "different parameters"};
  double scale = 0;
  for (size_t i = 1; i < theirs.size(); ++i) scale = std::max(scale, measure(theirs[i].numbers));
  for (size_t i = 0; i < ours.size(); ++i) {
    const NamedNumbers &x = ours[i], &y = theirs[i];
    if (x.name != y.name || x.numbers.size() != y.numbers.size()) return {1, x.name + " against " + y.name};
    compare(x, y, std::max(measure(y.numbers), 1e-3 * scale));
  }
  return {};
}

}  // namespace

double filling(int64_t tensor, int64_t element) {
  // The quadratic phase keeps wide matrices from being of low rank, which would leave some gradients to rounding.
  const auto i = static_cast<double>(element);
  return std::sin(1.7 * static_cast<double>(tensor + 1) + 2.3 * i + 0.061 * i * i);
}

std::vector<double> filling(int64_t tensor, int64_t size, double center, double width) {
  std::vector<double> out(static_cast<size_t>(size));
  for (size_t i = 0; i < out.size(); ++i) out[i] = center + width * filling(tensor, static_cast<int64_t>(i));
  return out;
}

void allocate_filled(ParameterStore& store, Context& context) {
  std::vector<Parameter*> order;
  for (const auto& parameter : store.all()) {
    if (parameter->trainable) order.push_back(parameter.get());
  }
  const auto device = device_of(context);
  store.allocate(*context.arena, context.dtype, order,
                 [&](void* memory, size_t bytes) { device->zero(context.stream, memory, bytes); });
  int64_t index = first_parameter;
  for (const auto& parameter : store.all()) {
    const bool around_one = parameter->shape.rank() == 1 && parameter->name.ends_with("weight");
    const double center = parameter->is_buffer ? parameter->init.value : around_one ? 1 : 0;
    // Matrices keep the size of what they multiply, whatever their width: a layer's activations stay around 1.
    const double fan_in = static_cast<double>(parameter->size()) / static_cast<double>(parameter->shape[0]);
    const double width = parameter->is_buffer || around_one ? 0.25 : std::min(0.7, std::sqrt(3 / fan_in));
    write_numbers(context, parameter->value, filling(index++, parameter->size(), center, width));
  }
}

std::vector<NamedNumbers> evaluate(const GradientCase& test, Context& context) {
  ParameterStore store;
  test.declare(store);
  allocate_filled(store, context);
  std::vector<Variable> inputs;
  for (size_t i = 0; i < test.inputs.size(); ++i) {
    const std::vector<double> numbers = filling(static_cast<int64_t>(i), test.inputs[i].elements(), 0, 1);
    inputs.push_back(context.tape.output(constant(context, test.inputs[i], numbers)));
  }
  context.restart_random_places();
  context.tape.begin(store, false);
  const Variable y = test.forward(context, store, inputs);
  std::vector<NamedNumbers> out = {{"output", read_numbers(context, y.value())}};
  context.tape.backward(
      y, [&](const Tensor& d_y, bool) { write_numbers(context, d_y, filling(weights_of_output, d_y.size(), 0, 1)); });
  const auto append = [&](const std::string& name, const Tensor& gradient) {
    if (!gradient.defined()) fail(ErrorKind::runtime, "{}: {} has no gradient", test.name, name);
    out.push_back({"gradient of " + name, read_numbers(context, gradient)});
  };
  for (size_t i = 0; i < inputs.size(); ++i) append(fmt::format("input {}", i), inputs[i].gradient()->gradient);
  for (const auto& parameter : store.all()) {
    if (!parameter->trainable) continue;
    if (!parameter->gradient_written || parameter->pending_uses != 0) {
      fail(ErrorKind::runtime, "{}: the gradient of {} was not completed", test.name, parameter->name);
    }
    append(parameter->name, parameter->gradient);
  }
  return out;
}

GradientResult largest_difference(const std::vector<NamedNumbers>& ours, const std::vector<NamedNumbers>& theirs) {
  GradientResult worst;
  const auto compare = [&](const NamedNumbers& x, const NamedNumbers& y, double size) {
    for (size_t i = 0; i < x.numbers.size(); ++i) {
      const double error = std::abs(x.numbers[i] - y.numbers[i]) / size;
      if (!(error <= worst.worst_error)) worst = {error, fmt::format("{} [{}]", x.name, i)};
    }
  };
  const GradientResult mismatch = compare_all(ours, theirs, largest_of, compare);
  return mismatch.worst_error > 0 ? mismatch : worst;
}

GradientResult largest_distance(const std::vector<NamedNumbers>& ours, const std::vector<NamedNumbers>& theirs) {
  GradientResult worst;
  const auto compare = [&](const NamedNumbers& x, const NamedNumbers& y, double size) {
    std::vector<double> difference(x.numbers.size());
    for (size_t i = 0; i < difference.size(); ++i) difference[i] = x.numbers[i] - y.numbers[i];
    const double error = norm_of(difference) / size;
    if (!(error <= worst.worst_error)) worst = {error, x.name};
  };
  const GradientResult mismatch = compare_all(ours, theirs, norm_of, compare);
  return mismatch.worst_error > 0 ? mismatch : worst;
}

GradientResult compare_cases(const GradientCase& a, const GradientCase& b) {
  CpuContext ours, theirs;
  return largest_difference(evaluate(a, ours.context), evaluate(b, theirs.context));
}

}  // namespace bev::test
