// Batch norm against its definition in plain loops, its float sums over many rows, its running statistics, and its
// statistics over several replicas.
#include "runtime/ops/batch_norm.h"

#include <doctest/doctest.h>

#include <barrier>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "runtime/ops/activation.h"
#include "tests/support/cpu_context.h"
#include "tests/support/gradient_check.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

/// A batch norm of `channels` with parameters and statistics of its own.
struct Norm {
  CpuContext cpu;
  ParameterStore store;
  BatchNormParameters parameters;

  explicit Norm(int64_t channels, DType dtype = DType::f64)
      : cpu(dtype, size_t{1} << 30),
        parameters{.gamma = &store.declare("weight", {channels}, Init::constant(1)),
                   .beta = &store.declare("bias", {channels}, Init::constant(0)),
                   .running_mean = &store.declare_buffer("running_mean", {channels}, 0),
                   .running_variance = &store.declare_buffer("running_var", {channels}, 1)} {
    store.allocate(*cpu.context.arena, dtype, {parameters.gamma, parameters.beta},
                   [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
    visit_float(dtype, [&]<class T>(T) {
      for (int64_t c = 0; c < channels; ++c) {
        const auto i = static_cast<T>(c);
        parameters.gamma->value.data<T>()[c] = 1 + i / 10;
        parameters.beta->value.data<T>()[c] = i / 5 - 1;
        parameters.running_mean->value.data<T>()[c] = i;
        parameters.running_variance->value.data<T>()[c] = 1 + i;
      }
    });
  }
  template <class T>
  Variable input(const Shape& shape, const std::vector<T>& numbers) {
    const Tensor x = cpu.context.empty(shape);
    std::copy(numbers.begin(), numbers.end(), x.data<T>());
    return cpu.context.tape.output(x);
  }
};

template <class T>
std::vector<T> numbers_of(const Tensor& tensor) {
  return {tensor.data<T>(), tensor.data<T>() + tensor.size()};
}

/// Mean and variance (of n, not n - 1) of every channel, in double.
template <class T>
std::pair<std::vector<double>, std::vector<double>> moments(const std::vector<T>& x, size_t channels) {
  std::vector<double> mean(channels), variance(channels);
  const double rows = static_cast<double>(x.size() / channels);
  for (size_t i = 0; i < x.size(); ++i) mean[i % channels] += static_cast<double>(x[i]) / rows;
  for (size_t i = 0; i < x.size(); ++i) {
    const double d = static_cast<double>(x[i]) - mean[i % channels];
    variance[i % channels] += d * d / rows;
  }
  return {mean, variance};
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

/// Sums over replicas that are threads of a test, in the order of ranks.
class ThreadReducer : public StatisticsReducer {
 public:
  struct Shared {
    explicit Shared(int replicas) : data(static_cast<size_t>(replicas)), arrived(replicas) {}
    std::vector<double*> data;
    std::barrier<> arrived;
  };
  ThreadReducer(Shared& shared, size_t rank) : shared_(shared), rank_(rank) {}
  int replicas() const override { return static_cast<int>(shared_.data.size()); }
  void all_reduce(const Stream&, void* data, int64_t count, DType type) override {
    REQUIRE(type == DType::f64);
    shared_.data[rank_] = static_cast<double*>(data);
    shared_.arrived.arrive_and_wait();
    std::vector<double> sums(static_cast<size_t>(count));
    for (const double* part : shared_.data) {
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += part[i];
    }
    shared_.arrived.arrive_and_wait();
    std::copy(sums.begin(), sums.end(), static_cast<double*>(data));
    shared_.arrived.arrive_and_wait();
  }

 private:
  Shared& shared_;
  size_t rank_;
};

struct Outcome {
  std::vector<double> y = {}, d_x = {}, d_gamma = {}, running_mean = {}, running_variance = {};
};

/// Forward and backward of y's product with `d_y`.
Outcome run(Norm& norm, const Shape& shape, const std::vector<double>& x, const std::vector<double>& d_y,
            const BatchNormOptions& options) {
  Tape& tape = norm.cpu.context.tape;
  tape.begin(norm.store, false);
  const Variable input = norm.input(shape, x);
  const Variable y = batch_norm(norm.cpu.context, input, norm.parameters, options);
  Outcome out{.y = numbers_of<double>(y.value())};
  tape.backward(y, [&](const Tensor& gradient, bool) { std::copy(d_y.begin(), d_y.end(), gradient.data<double>()); });
  out.d_x = numbers_of<double>(input.gradient()->gradient);
  out.d_gamma = numbers_of<double>(norm.parameters.gamma->gradient);
  out.running_mean = numbers_of<double>(norm.parameters.running_mean->value);
  out.running_variance = numbers_of<double>(norm.parameters.running_variance->value);
  return out;
}

}  // namespace

TEST_CASE("batch norm normalises by the batch and moves the running statistics") {
  for (const int64_t channels : {1, 3, 8, 70}) {
    for (const int64_t rows : {2, 15, 64}) {
      Norm norm(channels);
      const auto x = random_numbers<double>(rows * channels, 3);
      const Variable y = batch_norm(norm.cpu.context, norm.input({1, rows, 1, channels}, x), norm.parameters, {});
      const auto [mean, variance] = moments(x, static_cast<size_t>(channels));
      for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
        const auto i = static_cast<double>(c), n = static_cast<double>(rows);
        for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
          const size_t at = row * static_cast<size_t>(channels) + c;
          const double expected = (x[at] - mean[c]) / std::sqrt(variance[c] + 1e-5) * (1 + i / 10) + i / 5 - 1;
          CHECK(y.value().data<double>()[at] == doctest::Approx(expected).epsilon(1e-12));
        }
        CHECK(norm.parameters.running_mean->value.data<double>()[c] ==
              doctest::Approx(0.9 * i + 0.1 * mean[c]).epsilon(1e-12));
        CHECK(norm.parameters.running_variance->value.data<double>()[c] ==
              doctest::Approx(0.9 * (1 + i) + 0.1 * variance[c] * n / (n - 1)).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("batch norm by running statistics leaves them alone") {
  Norm norm(3);
  const auto x = random_numbers<double>(12, 4);
  const Variable y = batch_norm(norm.cpu.context, norm.input({4, 3}, x), norm.parameters, {.of_batch = false});
  for (size_t i = 0; i < x.size(); ++i) {
    const auto c = static_cast<double>(i % 3);
    const double expected = (x[i] - c) / std::sqrt(1 + c + 1e-5) * (1 + c / 10) + c / 5 - 1;
    CHECK(y.value().data<double>()[i] == doctest::Approx(expected).epsilon(1e-12));
  }
  CHECK(numbers_of<double>(norm.parameters.running_mean->value) == std::vector<double>{0, 1, 2});
  CHECK(numbers_of<double>(norm.parameters.running_variance->value) == std::vector<double>{1, 2, 3});
}

TEST_CASE("float statistics of many rows keep their digits, also where the mean is large against the deviation") {
  constexpr int64_t rows = 400000, channels = 4;
  Norm norm(channels, DType::f32);
  auto x = random_numbers<float>(rows * channels, 5);
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % 4 == 1 ? 1000 + x[i] : i % 4 == 2 ? -30 + x[i] / 100 : x[i];
  for (size_t i = 0; i < 400; ++i) x[i * 4 + 3] = 50;  // the corner of an image may be unlike the rest
  const Variable y = batch_norm(norm.cpu.context, norm.input({rows, channels}, x), norm.parameters, {});
  const auto [mean, variance] = moments(x, channels);
  for (size_t c = 0; c < channels; ++c) {
    const auto i = static_cast<double>(c);
    // What is kept is 0.9 of the old value and 0.1 of the new, rounded to float; the new one is got back from it.
    const double kept_mean = static_cast<double>(norm.parameters.running_mean->value.data<float>()[c]);
    const double kept_variance = static_cast<double>(norm.parameters.running_variance->value.data<float>()[c]);
    const double deviation = std::sqrt(variance[c]);
    CHECK(std::abs((kept_mean - 0.9 * i) / 0.1 - mean[c]) < 1e-6 * (deviation + std::abs(mean[c]) + 10 * i));
    CHECK(std::abs((kept_variance - 0.9 * (1 + i)) / 0.1 - variance[c]) < 2e-6 * (variance[c] + 10 * (1 + i)));
    double worst = 0;
    for (size_t row = 0; row < rows; row += 97) {
      const double expected =
          (static_cast<double>(x[row * 4 + c]) - mean[c]) / std::sqrt(variance[c] + 1e-5) * (1 + i / 10) + i / 5 - 1;
      worst = std::max(worst, std::abs(static_cast<double>(y.value().data<float>()[row * 4 + c]) - expected));
    }
    // The mean itself is rounded to float: that much of a deviation cannot be kept.
    CHECK(worst < 2e-5 + 1e-7 * std::abs(mean[c]) / deviation);
  }
}

TEST_CASE("a batch that is not finite leaves no trace in the running statistics") {
  Norm norm(2);
  const std::vector<double> x = {1, 2, 3, std::numeric_limits<double>::quiet_NaN()};
  const Variable y = batch_norm(norm.cpu.context, norm.input({2, 2}, x), norm.parameters, {.relu = true});
  CHECK(std::isnan(y.value().data<double>()[1]));  // it is not hidden either
  CHECK(norm.parameters.running_mean->value.data<double>()[1] == 1);
  CHECK(norm.parameters.running_variance->value.data<double>()[1] == 2);
  CHECK(norm.parameters.running_mean->value.data<double>()[0] == doctest::Approx(0.2));
}

TEST_CASE("what batch norm does in one pass equals its parts, values and all gradients") {
  for (const bool of_batch : {true, false}) {
    for (const int64_t channels : {3, 32, 130}) {
      for (const bool add : {false, true}) {
        const auto make = [&](bool fused) -> GradientCase {
          return {.name = fused ? "fused" : "composed",
                  .inputs = std::vector<Shape>(2, Shape{2, 3, 4, channels}),
                  .declare =
                      [=](ParameterStore& store) {
                        store.declare("weight", {channels}, Init::constant(1));
                        store.declare("bias", {channels}, Init::constant(0));
                        store.declare_buffer("running_mean", {channels}, 0);
                        store.declare_buffer("running_var", {channels}, 1);
                      },
                  .forward =
                      [=](Context& c, ParameterStore& p, const auto& x) {
                        const BatchNormParameters norm{p.find("weight"), p.find("bias"), p.find("running_mean"),
                                                       p.find("running_var")};
                        // Both inputs are used twice, so that gradients are overwritten and added to.
                        const Variable again = add_dropout(c, x[0], x[1]);
                        const Variable* residual = add ? &x[1] : nullptr;
                        if (fused)
                          return add_dropout(c, again,
                                             batch_norm(c, x[0], norm, {.of_batch = of_batch, .relu = true}, residual));
                        const Variable normal = batch_norm(c, x[0], norm, {.of_batch = of_batch});
                        const Variable sum = add ? add_dropout(c, x[1], normal) : normal;
                        return add_dropout(c, again, activate(c, sum, Activation::relu));
                      }};
        };
        const GradientResult result = compare_cases(make(true), make(false));
        INFO(result.worst_place);
        CHECK(result.worst_error < 1e-12);
      }
    }
  }
}

TEST_CASE("batch norm of one value a channel is refused") {
  Norm norm(3);
  CHECK_THROWS_WITH_AS(
      batch_norm(norm.cpu.context, norm.input({1, 1, 1, 3}, std::vector<double>(3)), norm.parameters, {}),
      doctest::Contains("one value a channel"), Error);
}

TEST_CASE("synchronised batch norm on parts computes what batch norm computes on the union") {
  constexpr int64_t channels = 6, rows = 20;
  for (const size_t replicas : {2, 4}) {
    const auto x = random_numbers<double>(rows * channels, 8), d_y = random_numbers<double>(rows * channels, 9);
    Norm whole(channels);
    const Outcome expected = run(whole, {rows, channels}, x, d_y, {.relu = true});

    ThreadReducer::Shared shared(static_cast<int>(replicas));
    std::vector<Outcome> parts(replicas);
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < replicas; ++rank) {
      threads.emplace_back([&, rank] {
        Norm norm(channels);
        ThreadReducer reducer(shared, rank);
        norm.cpu.context.statistics = &reducer;
        const size_t count = x.size() / replicas;
        const auto part = [&](const std::vector<double>& all) {
          const auto begin = all.begin() + static_cast<std::ptrdiff_t>(rank * count);
          return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(count));
        };
        parts[rank] = run(norm, {rows / static_cast<int64_t>(replicas), channels}, part(x), part(d_y),
                          {.synchronised = true, .relu = true});
      });
    }
    for (std::thread& thread : threads) thread.join();

    Outcome joined{.d_gamma = std::vector<double>(channels)};
    for (const Outcome& part : parts) {
      joined.y.insert(joined.y.end(), part.y.begin(), part.y.end());
      joined.d_x.insert(joined.d_x.end(), part.d_x.begin(), part.d_x.end());
      for (size_t c = 0; c < joined.d_gamma.size(); ++c) joined.d_gamma[c] += part.d_gamma[c];
      CHECK(largest_difference(part.running_mean, expected.running_mean) < 1e-12);
      CHECK(largest_difference(part.running_variance, expected.running_variance) < 1e-12);
    }
    CHECK(largest_difference(joined.y, expected.y) < 1e-12);
    CHECK(largest_difference(joined.d_x, expected.d_x) < 1e-12);
    CHECK(largest_difference(joined.d_gamma, expected.d_gamma) < 1e-12);
  }
}

}  // namespace bev::test
