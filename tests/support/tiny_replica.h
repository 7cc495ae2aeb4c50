// A small model that trains, on one replica of several: three Linear layers with an activation and dropout, a frozen
// parameter without a gradient, running statistics; its batches a function of the sample's number alone. What data
// parallel training must get right can be seen in it to the last bit.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "runtime/device.h"
#include "runtime/distributed/agreement.h"
#include "runtime/distributed/reducer.h"
#include "runtime/ops/activation.h"
#include "runtime/ops/linear.h"
#include "runtime/ops/mean_squared_error.h"
#include "runtime/train/optimizer.h"
#include "tests/support/cpu_context.h"

namespace bev::test {

class TinyReplica {
 public:
  static constexpr int64_t inputs = 5, hidden = 24, outputs = 3;

  /// `gradients` and `host` outlive the replica.
  TinyReplica(Communicator& gradients, Communicator& host, const ReducerConfig& reducer, double max_norm = 100,
              int64_t layers = 3)
      : cpu(DType::f64, size_t{64} << 20), device(make_cpu_device()), gradients_(gradients) {
    for (int64_t layer = 0; layer < layers; ++layer) {
      const int64_t in = layer == 0 ? inputs : hidden, out = layer + 1 == layers ? outputs : hidden;
      weights_.push_back(&store.declare(fmt::format("net.{}.weight", layer), {out, in}, Init::constant(0)));
      biases_.push_back(&store.declare(fmt::format("net.{}.bias", layer), {out}, Init::constant(0)));
    }
    store.declare("frozen", {7}, Init::constant(3));
    store.declare_buffer("running_mean", {hidden}, 0);
    std::vector<Parameter*> order;  // as backward finishes them
    for (size_t i = weights_.size(); i-- > 0;) order.insert(order.end(), {weights_[i], biases_[i]});
    store.allocate(*cpu.context.arena, DType::f64, order,
                   [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
    int64_t seed = 0;
    for (const auto& parameter : store.all()) {
      for (int64_t i = 0; i < parameter->size(); ++i) {
        parameter->value.data<double>()[i] = 0.6 * std::sin(1.3 * static_cast<double>(++seed));
      }
    }
    this->reducer = std::make_unique<GradientReducer>(store, gradients, reducer);
    this->reducer->attach(cpu.context.tape, cpu.context.stream);
    optimizer = std::make_unique<Optimizer>(store, cpu.context, *device,
                                            OptimizerConfig{.weight_decay = 0.01, .max_gradient_norm = max_norm});
    agreement = std::make_unique<ReplicaAgreement>(ReplicaAgreement::items(store), cpu.context, *device, host);
    cpu.state.learning_rate = 1e-2;
  }

  /// One micro-batch: forward, and backward into the gradients.
  void micro_step(int64_t first_sample, int64_t samples, double scale, bool accumulate) {
    Context& context = cpu.context;
    cpu.state.sample_offset = first_sample;
    context.restart_random_places();
    context.tape.begin(store, accumulate);
    const Tensor x = context.empty({samples, inputs}), target = context.empty({samples, outputs});
    for (int64_t i = 0; i < x.size(); ++i) x.data<double>()[i] = number(first_sample * inputs + i, 0.7);
    for (int64_t i = 0; i < target.size(); ++i) target.data<double>()[i] = number(first_sample * outputs + i, 1.9);
    Variable h(x);
    for (size_t layer = 0; layer < weights_.size(); ++layer) {
      const Scope scope(context.tape, fmt::format("net.{}", layer));
      if (layer > 0) h = activate(context, h, Activation::gelu, 0.2);
      h = linear(context, h, *weights_[layer], biases_[layer]);
      if (before_backward) h = noticed(h, layer);
    }
    const Variable loss = mean_squared_error(context, h, target);
    optimizer->update()->loss += loss.value().data<double>()[0] * scale;
    context.tape.backward(loss, [&](const Tensor& seed, bool) { *seed.data<double>() = scale; });
  }

  /// An optimiser step on this replica's share of `global_batch` samples. Returns the global loss.
  double step(int64_t global_batch, int64_t accumulation) {
    const int64_t replicas = gradients_.size(), micro = global_batch / replicas / accumulation;
    optimizer->update()->loss = 0;
    for (int64_t i = 0; i < accumulation; ++i) {
      if (i + 1 == accumulation) reducer->begin();
      const int64_t offset = (gradients_.rank() * accumulation + i) * micro;
      micro_step(cpu.state.step * global_batch + offset, micro, 1.0 / static_cast<double>(replicas * accumulation),
                 i > 0);
    }
    gradients_.all_reduce(&optimizer->update()->loss, 1, DType::f64, "loss");
    reducer->finish();
    optimizer->step();
    ++cpu.state.step;
    return optimizer->update()->loss;
  }

  std::vector<double> values() const {
    const double* first = store.trained_values().data<double>();
    return {first, first + store.trained_values().size()};
  }

  /// Called in backward just before each layer's turn, if set.
  std::function<void(size_t layer)> before_backward;

  CpuContext cpu;
  std::unique_ptr<Device> device;
  ParameterStore store;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<ReplicaAgreement> agreement;
  std::unique_ptr<GradientReducer> reducer;

 private:
  static double number(int64_t i, double pace) { return std::sin(pace * static_cast<double>(i) + pace); }

  /// x, whose gradient passes through before_backward.
  Variable noticed(const Variable& x, size_t layer) {
    Tape& tape = cpu.context.tape;
    const Variable y = tape.output(x.value());
    tape.record("noticed", y, [this, &tape, layer, d_x = x.gradient(), slot = y.gradient()] {
      before_backward(layer);
      tape.adopt(d_x, Tape::take(slot));
    });
    return y;
  }

  Communicator& gradients_;
  std::vector<Parameter*> weights_, biases_;
};

}  // namespace bev::test
