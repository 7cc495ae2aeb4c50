#include "tests/support/gradient_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/support/cpu_context.h"

namespace bev::test {

namespace {

/// A function of position without symmetries: distinct numbers of both signs. The quadratic phase keeps wide matrices
/// from being of low rank, which would leave some gradients to rounding.
double filling(int64_t tensor, int64_t element) {
  const auto i = static_cast<double>(element);
  return std::sin(1.7 * static_cast<double>(tensor + 1) + 2.3 * i + 0.061 * i * i);
}

void fill(const Tensor& tensor, int64_t index, double center, double width) {
  double* data = tensor.data<double>();
  for (int64_t i = 0; i < tensor.size(); ++i) data[i] = center + width * filling(index, i);
}

double largest_of(const Tensor& tensor) {
  double largest = 0;
  for (int64_t i = 0; i < tensor.size(); ++i) largest = std::max(largest, std::abs(tensor.data<double>()[i]));
  return largest;
}

class Check {
 public:
  explicit Check(const GradientCase& test) : test_(test) {
    test.declare(store_);
    allocate_filled(store_, cpu_.context);
    for (size_t i = 0; i < test.inputs.size(); ++i) {
      const Tensor value = cpu_.context.empty(test.inputs[i]);
      fill(value, static_cast<int64_t>(i), 0, 1);
      inputs_.push_back(cpu_.context.tape.output(value));
    }
    for (const auto& parameter : store_.all()) {
      if (parameter->is_buffer)
        buffers_.emplace_back(parameter->value.data<double>(), parameter->value.data<double>() + parameter->size());
    }
  }

  GradientResult run() {
    const std::vector<double> weights = backward();
    GradientResult result;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      compare(fmt::format("input {}", i), inputs_[i].value(), inputs_[i].gradient()->gradient, weights, result);
    }
    for (const auto& parameter : store_.all()) {
      if (!parameter->trainable) continue;
      if (!parameter->gradient_written || parameter->pending_uses != 0) {
        return {1, parameter->name + ": its gradient was not completed"};
      }
      compare(parameter->name, parameter->value, parameter->gradient, weights, result);
    }
    return result;
  }

  struct Named {
    std::string name;
    Tensor numbers;
  };
  /// The op's output and all gradients.
  std::vector<Named> evaluate() {
    backward();
    std::vector<Named> out = {{"output", output_}};
    for (size_t i = 0; i < inputs_.size(); ++i)
      out.push_back({fmt::format("gradient of input {}", i), inputs_[i].gradient()->gradient});
    for (const auto& parameter : store_.all()) {
      if (parameter->trainable) out.push_back({"gradient of " + parameter->name, parameter->gradient});
    }
    return out;
  }

 private:
  /// Forward and backward; returns the weights of the sum that was differentiated.
  std::vector<double> backward() {
    cpu_.context.tape.begin(store_, false);
    const Variable y = forward();
    output_ = y.value();
    std::vector<double> weights(static_cast<size_t>(y.size()));
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = filling(50, static_cast<int64_t>(i));
    cpu_.context.tape.backward(
        y, [&](const Tensor& d_y, bool) { std::copy(weights.begin(), weights.end(), d_y.data<double>()); });
    cpu_.context.tape.set_recording(false);
    return weights;
  }

  Variable forward() {
    size_t next = 0;
    for (const auto& parameter :
         store_.all()) {  // a forward pass may move running statistics: each starts from the same
      if (parameter->is_buffer)
        std::copy(buffers_[next].begin(), buffers_[next].end(), parameter->value.data<double>()), ++next;
    }
    cpu_.context.restart_random_places();
    return test_.forward(cpu_.context, store_, inputs_);
  }

  double loss(const std::vector<double>& weights) {
    const Variable y = forward();
    double sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) sum += weights[i] * y.value().data<double>()[i];
    return sum;
  }

  void compare(const std::string& name, const Tensor& value, const Tensor& gradient, const std::vector<double>& weights,
               GradientResult& result) {
    if (!gradient.defined()) {
      result = {1, name + ": has no gradient"};
      return;
    }
    const double largest = largest_of(gradient);
    const int64_t stride = std::max<int64_t>(1, value.size() / test_.elements);
    for (int64_t i = 0; i < value.size(); i += stride) {
      double& element = value.data<double>()[i];
      const double kept = element;
      const auto loss_at = [&](double shift) {
        element = kept + shift * test_.step;
        return loss(weights);
      };
      // The four-point rule: its truncation error is of fourth order, so that the step can be large enough for rounding
      // not to matter.
      const double difference = (8 * (loss_at(1) - loss_at(-1)) - (loss_at(2) - loss_at(-2))) / (12 * test_.step);
      element = kept;
      const double error =
          std::abs(gradient.data<double>()[i] - difference) / std::max({std::abs(difference), 1e-3 * largest, 1e-6});
      if (!(error <= result.worst_error)) result = {error, fmt::format("{} [{}]", name, i)};
    }
  }

  const GradientCase& test_;
  CpuContext cpu_;
  ParameterStore store_;
  std::vector<Variable> inputs_;
  std::vector<std::vector<double>> buffers_;
  Tensor output_;
};

}  // namespace

void allocate_filled(ParameterStore& store, Context& context) {
  std::vector<Parameter*> order;
  for (const auto& parameter : store.all()) {
    if (parameter->trainable) order.push_back(parameter.get());
  }
  store.allocate(*context.arena, DType::f64, order, [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
  int64_t index = 100;
  for (const auto& parameter : store.all()) {
    const bool around_one = parameter->shape.rank() == 1 && parameter->name.ends_with("weight");
    const double center = parameter->is_buffer ? parameter->init.value : around_one ? 1 : 0;
    // Matrices keep the size of what they multiply, whatever their width: a layer's activations stay around 1.
    const double fan_in = static_cast<double>(parameter->size()) / static_cast<double>(parameter->shape[0]);
    const double width = parameter->is_buffer || around_one ? 0.25 : std::min(0.7, std::sqrt(3 / fan_in));
    fill(parameter->value, index++, center, width);
  }
}

GradientResult check_gradients(const GradientCase& test) { return Check(test).run(); }

GradientResult compare_cases(const GradientCase& a, const GradientCase& b) {
  Check check_a(a), check_b(b);
  const auto ours = check_a.evaluate(), theirs = check_b.evaluate();
  if (ours.size() != theirs.size()) return {1, "different parameters"};
  double scale = 0;
  for (size_t i = 1; i < theirs.size(); ++i) scale = std::max(scale, largest_of(theirs[i].numbers));
  GradientResult result;
  for (size_t i = 0; i < ours.size(); ++i) {
    const Tensor &x = ours[i].numbers, &y = theirs[i].numbers;
    if (ours[i].name != theirs[i].name || !x.defined() || !y.defined() || x.size() != y.size())
      return {1, ours[i].name + " against " + theirs[i].name};
    const double size = std::max(largest_of(y), 1e-3 * scale);
    for (int64_t k = 0; k < x.size(); ++k) {
      const double error = std::abs(x.data<double>()[k] - y.data<double>()[k]) / size;
      if (!(error <= result.worst_error)) result = {error, fmt::format("{} [{}]", ours[i].name, k)};
    }
  }
  return result;
}

}  // namespace bev::test
