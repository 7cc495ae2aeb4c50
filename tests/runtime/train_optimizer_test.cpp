// The optimiser against straightforward code in double: AdamW, clipping, the average, weight decay by parameter, and
// what a step that is not finite leaves alone.
#include "runtime/train/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/support/cpu_context.h"

using namespace bev;

namespace {

/// Three parameters, one of them longer than a segment of the optimiser, and a buffer.
struct Fixture {
  test::CpuContext cpu;
  std::unique_ptr<Device> device = make_cpu_device();
  ParameterStore store;

  explicit Fixture(DType dtype) : cpu(dtype, size_t{64} << 20) {
    store.declare("weight", {150, 111}, Init::constant(0));
    store.declare("bias", {150}, Init::constant(0));
    store.declare("scale", {1, 3}, Init::constant(0));
    store.declare_buffer("running_mean", {5}, 0.5);
    store.allocate(*cpu.context.arena, dtype, {store.find("scale"), store.find("bias"), store.find("weight")},
                   [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
    for (const auto& parameter : store.all()) {
      for (int64_t i = 0; i < parameter->size(); ++i) set(parameter->value, i, number(parameter->offset + i, 0));
    }
  }

  static double number(int64_t i, int64_t step) {
    return std::sin(1.3 * static_cast<double>(i) + 0.7 * static_cast<double>(step));
  }
  static void set(const Tensor& tensor, int64_t i, double value) {
    visit_float(tensor.dtype(), [&]<class T>(T) { tensor.data<T>()[i] = static_cast<T>(value); });
  }
  static double get(const Tensor& tensor, int64_t i) {
    return visit_float(tensor.dtype(), [&]<class T>(T) { return static_cast<double>(tensor.data<T>()[i]); });
  }
  void set_gradients(int64_t step, double factor = 1) {
    for (Parameter* parameter : store.trained()) {
      for (int64_t i = 0; i < parameter->size(); ++i) {
        set(parameter->gradient, i, factor * number(3 * (parameter->offset + i) + 1, step));
      }
    }
  }
};

struct Reference {
  std::vector<double> weight, first, second, average;
  int64_t updates = 0;

  void step(const std::vector<double>& gradient, double clip, double rate, double decay, const OptimizerConfig& c) {
    const auto inner = static_cast<double>(updates - c.ema_update_after_step - 1);
    const double d =
        inner <= 0 ? 0 : std::clamp(1 - std::pow(1 + inner / c.ema_inv_gamma, -c.ema_power), c.ema_min, c.ema_max);
    ++updates;
    for (size_t i = 0; i < weight.size(); ++i) {
      const double g = gradient[i] * clip;
      weight[i] *= 1 - rate * decay;
      first[i] += (1 - c.beta1) * (g - first[i]);
      second[i] += (1 - c.beta2) * (g * g - second[i]);
      const double m = first[i] / (1 - std::pow(c.beta1, static_cast<double>(updates)));
      const double v = second[i] / (1 - std::pow(c.beta2, static_cast<double>(updates)));
      weight[i] -= rate * m / (std::sqrt(v) + c.epsilon);
      average[i] = average[i] * d + (1 - d) * weight[i];
    }
  }
};

void compare_with_reference(DType dtype, const OptimizerConfig& config, double tolerance) {
  Fixture fixture(dtype);
  Optimizer optimizer(fixture.store, fixture.cpu.context, *fixture.device, config);
  std::vector<Reference> reference;
  for (const Parameter* p : fixture.store.trained()) {
    Reference r;
    for (int64_t i = 0; i < p->size(); ++i) r.weight.push_back(Fixture::get(p->value, i));
    r.average = r.weight;
    r.first.resize(r.weight.size());
    r.second.resize(r.weight.size());
    reference.push_back(r);
  }
  bool clipped = false, decayed_less = false;
  for (int64_t step = 0; step < 12; ++step) {
    const double rate = 1e-2 / static_cast<double>(1 + step);
    fixture.cpu.state.learning_rate = rate;
    fixture.set_gradients(step, step == 4 ? 1e-4 : 0.1);
    double square = 0;
    for (const Parameter* p : fixture.store.trained()) {
      for (int64_t i = 0; i < p->size(); ++i) square += std::pow(Fixture::get(p->gradient, i), 2);
    }
    optimizer.step();
    const double norm = std::sqrt(square), factor = config.max_gradient_norm / (norm + 1e-6);
    const double clip = config.max_gradient_norm > 0 ? std::min(1.0, factor) : 1;
    clipped = clipped || clip < 1;
    CHECK(optimizer.update()->gradient_norm == doctest::Approx(norm).epsilon(1e-12));
    CHECK(optimizer.update()->clip == doctest::Approx(clip).epsilon(1e-12));
    double worst = 0;
    for (size_t k = 0; k < reference.size(); ++k) {
      const Parameter& p = *fixture.store.trained()[k];
      const bool decays = config.decay_norm_and_bias || p.shape.rank() > 1;
      decayed_less = decayed_less || !decays;
      std::vector<double> gradient;
      for (int64_t i = 0; i < p.size(); ++i) gradient.push_back(Fixture::get(p.gradient, i));
      reference[k].step(gradient, clip, rate, decays ? config.weight_decay : 0, config);
      for (int64_t i = 0; i < p.size(); ++i) {
        const auto at = static_cast<size_t>(i);
        worst = std::max(
            {worst, std::abs(Fixture::get(p.value, i) - reference[k].weight[at]),
             std::abs(Fixture::get(optimizer.whole(Optimizer::Kind::average), p.offset + i) - reference[k].average[at]),
             std::abs(Fixture::get(optimizer.whole(Optimizer::Kind::first_moment), p.offset + i) -
                      reference[k].first[at]),
             std::abs(Fixture::get(optimizer.whole(Optimizer::Kind::second_moment), p.offset + i) -
                      reference[k].second[at])});
        if (step < 2)
          CHECK(Fixture::get(optimizer.whole(Optimizer::Kind::average), p.offset + i) == Fixture::get(p.value, i));
      }
    }
    CHECK(worst < tolerance);
  }
  CHECK(clipped == (config.max_gradient_norm > 0));
  CHECK(decayed_less == !config.decay_norm_and_bias);
  CHECK(optimizer.update()->updates == 12);
  CHECK(optimizer.update()->skipped == 0);
}

}  // namespace

TEST_CASE("AdamW, clipping and the average equal straightforward code") {
  OptimizerConfig config{.weight_decay = 0.3};
  compare_with_reference(DType::f64, config, 1e-14);
  compare_with_reference(DType::f32, config, 2e-6);
  config.decay_norm_and_bias = false;
  config.ema_max = 0.4;
  compare_with_reference(DType::f64, config, 1e-14);
  config.max_gradient_norm = 0;
  config.ema_update_after_step = 3;
  config.ema_inv_gamma = 2;
  config.beta1 = 0.8;
  compare_with_reference(DType::f64, config, 1e-14);
}

TEST_CASE("a step that is not finite leaves weights, moments, averages and running statistics alone") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    Fixture fixture(dtype);
    Optimizer optimizer(fixture.store, fixture.cpu.context, *fixture.device, {});
    fixture.cpu.state.learning_rate = 1e-2;
    const auto bytes = [](const Tensor& tensor) {
      return std::string(static_cast<const char*>(tensor.raw()), tensor.bytes());
    };
    const auto everything = [&] {
      return bytes(fixture.store.trained_values()) + bytes(fixture.store.other_values()) +
             bytes(optimizer.whole(Optimizer::Kind::first_moment)) +
             bytes(optimizer.whole(Optimizer::Kind::second_moment)) + bytes(optimizer.whole(Optimizer::Kind::average));
    };
    const Tensor statistics = fixture.store.find("running_mean")->value;
    fixture.set_gradients(0);
    Fixture::set(statistics, 2, 4);
    const std::string start = everything();
    optimizer.step();
    const std::string before = everything();
    CHECK(before != start);
    CHECK(Fixture::get(statistics, 2) == 4);

    for (const double poison : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      fixture.set_gradients(1);
      Fixture::set(fixture.store.find("bias")->gradient, 149, poison);
      Fixture::set(statistics, 2, poison);
      optimizer.step();
      CHECK(optimizer.update()->skip == 1);
      CHECK(everything() == before);
    }
    fixture.set_gradients(1);
    optimizer.update()->loss = std::numeric_limits<double>::infinity();
    optimizer.step();
    CHECK(everything() == before);
    CHECK(optimizer.update()->updates == 1);
    CHECK(optimizer.update()->skipped == 3);

    optimizer.update()->loss = 0;
    optimizer.step();
    CHECK(optimizer.update()->skip == 0);
    CHECK(optimizer.update()->updates == 2);
    CHECK(everything() != before);
  }
}

TEST_CASE("the averaged weights take the place of the weights without a copy") {
  Fixture fixture(DType::f64);
  Parameter& weight = *fixture.store.find("weight");
  Parameter& rows = ParameterStore::slice(weight, 10, 2);
  fixture.store.read_values_from(fixture.store.trained_values());
  Optimizer optimizer(fixture.store, fixture.cpu.context, *fixture.device, {});
  fixture.cpu.state.learning_rate = 1e-2;
  for (int64_t step = 0; step < 5; ++step) {
    fixture.set_gradients(step);
    optimizer.step();
  }
  const double trained = Fixture::get(weight.value, 10 * 111 + 5);
  const double average = Fixture::get(optimizer.whole(Optimizer::Kind::average), weight.offset + 10 * 111 + 5);
  CHECK(trained != average);
  optimizer.use_average(true);
  CHECK(Fixture::get(weight.value, 10 * 111 + 5) == average);
  CHECK(Fixture::get(rows.value, 5) == average);
  optimizer.use_average(false);
  CHECK(Fixture::get(weight.value, 10 * 111 + 5) == trained);
  CHECK(Fixture::get(rows.value, 5) == trained);
  optimizer.restart_average();
  CHECK(Fixture::get(optimizer.whole(Optimizer::Kind::average), weight.offset + 10 * 111 + 5) == trained);
}
