// First values: the distributions that each kind promises, and that nothing but seed, name and position matters.
#include "runtime/train/initialise.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "runtime/arena.h"
#include "tests/support/temporary_folder.h"

using namespace bev;

namespace {

Parameter parameter(const std::string& name, const Shape& shape, const Init& init) {
  Parameter out;
  out.name = name;
  out.shape = shape;
  out.init = init;
  return out;
}

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

Moments moments(const std::vector<double>& values) {
  Moments out;
  double square = 0;
  for (const double value : values) {
    out.mean += value;
    square += value * value;
    out.largest = std::max(out.largest, std::abs(value));
  }
  out.mean /= static_cast<double>(values.size());
  out.deviation = std::sqrt(square / static_cast<double>(values.size()) - out.mean * out.mean);
  return out;
}

/// Largest deviation from orthonormality of the matrix's rows, or columns.
double orthonormality_error(const std::vector<double>& a, int64_t rows, int64_t cols, bool of_rows) {
  const int64_t count = of_rows ? rows : cols, length = of_rows ? cols : rows;
  const auto element = [&](int64_t vector, int64_t i) {
    return a[static_cast<size_t>(of_rows ? vector * cols + i : i * cols + vector)];
  };
  double worst = 0;
  for (int64_t p = 0; p < count; ++p) {
    for (int64_t q = 0; q <= p; ++q) {
      double product = 0;
      for (int64_t i = 0; i < length; ++i) product += element(p, i) * element(q, i);
      worst = std::max(worst, std::abs(product - (p == q ? 1 : 0)));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("normal, uniform and Xavier numbers have the spread they promise") {
  const Moments normal = moments(initial_values(parameter("a", {400, 251}, Init::normal(0.02)), 1));
  CHECK(std::abs(normal.mean) < 4 * 0.02 / std::sqrt(100400.0));
  CHECK(normal.deviation == doctest::Approx(0.02).epsilon(0.01));
  CHECK(normal.largest > 0.07);  // tails: four deviations or more among a hundred thousand
  CHECK(normal.largest < 0.13);

  const Moments uniform = moments(initial_values(parameter("b", {400, 251}, Init::uniform(0.5)), 1));
  CHECK(std::abs(uniform.mean) < 0.004);
  CHECK(uniform.deviation == doctest::Approx(0.5 / std::sqrt(3.0)).epsilon(0.01));
  CHECK(uniform.largest <= 0.5);
  CHECK(uniform.largest > 0.4999);

  const double bound = std::sqrt(6.0 / (300 + 14));
  const Moments xavier = moments(initial_values(parameter("gru", {300, 14}, Init::xavier_uniform()), 1));
  CHECK(xavier.largest <= bound);
  CHECK(xavier.largest > 0.99 * bound);
  CHECK(xavier.deviation == doctest::Approx(bound / std::sqrt(3.0)).epsilon(0.03));
}

TEST_CASE("orthogonal matrices are orthonormal along their shorter side, as a whole") {
  const auto tall = initial_values(parameter("tall", {300, 100}, Init::orthogonal()), 3);
  CHECK(orthonormality_error(tall, 300, 100, false) < 1e-13);
  const auto wide = initial_values(parameter("wide", {90, 150}, Init::orthogonal()), 3);
  CHECK(orthonormality_error(wide, 90, 150, true) < 1e-13);
  const auto square = initial_values(parameter("square", {130, 130}, Init::orthogonal()), 3);
  CHECK(orthonormality_error(square, 130, 130, true) < 1e-13);
  CHECK(orthonormality_error(square, 130, 130, false) < 1e-13);
  CHECK(std::abs(moments(square).mean) < 0.003);  // no preferred direction
}

TEST_CASE("values depend on seed, name and position alone") {
  const auto a = initial_values(parameter("model.a.weight", {7, 9}, Init::normal(1)), 5);
  CHECK(a == initial_values(parameter("model.a.weight", {7, 9}, Init::normal(1)), 5));
  CHECK(a != initial_values(parameter("model.b.weight", {7, 9}, Init::normal(1)), 5));
  CHECK(a != initial_values(parameter("model.a.weight", {7, 9}, Init::normal(1)), 6));
  const auto longer = initial_values(parameter("model.a.weight", {8, 9}, Init::normal(1)), 5);
  CHECK(std::equal(a.begin(), a.end(), longer.begin()));
  CHECK(std::set<double>(a.begin(), a.end()).size() == a.size());
}

TEST_CASE("a store is filled in either type, tables and buffers too") {
  const auto device = make_cpu_device();
  for (const DType dtype : {DType::f32, DType::f64}) {
    const auto arena = Arena::on_host(size_t{1} << 20);
    ParameterStore store;
    Parameter& weight = store.declare("weight", {3, 5}, Init::normal(1));
    Parameter& variance = store.declare_buffer("running_var", {4}, 1);
    Parameter& table = store.declare_table("table", {0.5, -2, 7});
    store.allocate(*arena, dtype, {&weight}, [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
    initialise(store, *device, device->make_stream(), 11);
    const auto expected = initial_values(weight, 11);
    visit_float(dtype, [&]<class T>(T) {
      for (int64_t i = 0; i < 15; ++i)
        CHECK(weight.value.data<T>()[i] == static_cast<T>(expected[static_cast<size_t>(i)]));
      for (int64_t i = 0; i < 4; ++i) CHECK(variance.value.data<T>()[i] == 1);
      CHECK(table.value.data<T>()[1] == -2);
      CHECK(table.value.data<T>()[2] == 7);
    });
  }
}

TEST_CASE("a shape that does not suit its kind is refused by name") {
  const auto bad = parameter("gru.weight", {2, 3, 4}, Init::orthogonal());
  const std::string message = test::error_of(ErrorKind::runtime, [&] { initial_values(bad, 0); });
  CHECK(test::contains(message, "gru.weight"));
  CHECK(test::contains(message, "[2, 3, 4]"));
  CHECK_THROWS_AS(initial_values(parameter("t", {3}, Init::table({1, 2})), 0), Error);
}
