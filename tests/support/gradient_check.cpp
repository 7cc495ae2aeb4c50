#include "tests/support/gradient_check.h"

#include <algorithm>
#include <cmath>

#include "tests/support/cpu_context.h"
#include "tests/support/numbers.h"

namespace bev::test {

namespace {

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
      const std::vector<double> numbers = filling(static_cast<int64_t>(i), test.inputs[i].elements(), 0, 1);
      inputs_.push_back(cpu_.context.tape.output(constant(cpu_.context, test.inputs[i], numbers)));
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

 private:
  /// Forward and backward; returns the weights of the sum that was differentiated.
  std::vector<double> backward() {
    cpu_.context.tape.begin(store_, false);
    const Variable y = forward();
    const std::vector<double> weights = filling(weights_of_output, y.size(), 0, 1);
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
};

}  // namespace

GradientResult check_gradients(const GradientCase& test) { return Check(test).run(); }

}  // namespace bev::test
