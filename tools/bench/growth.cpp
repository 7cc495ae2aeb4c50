#include "tools/bench/growth.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "tools/bench/dry_step.h"
#include "tools/bench/statistics.h"
#include "tools/bench/step_bench.h"

namespace bev {

namespace {

struct Variation {
  const char* name;
  std::vector<int64_t> sizes;
  void (*apply)(BenchCase&, int64_t);
};

const Variation variations[] = {
    {"batch", {1, 2, 4, 8, 16, 32, 64}, [](BenchCase& bench, int64_t n) { bench.batch = n; }},
    {"width", {256, 512, 1024}, [](BenchCase& bench, int64_t n) { bench.run.policy.width = n; }},
    {"layers", {3, 6, 12, 24}, [](BenchCase& bench, int64_t n) { bench.run.policy.layers = n; }},
    {"VL tokens", {128, 256, 512, 1024}, [](BenchCase& bench, int64_t n) { bench.run.policy.vl_tokens = n; }},
};

double exponent(const std::vector<GrowthReport::Point>& points, double GrowthReport::Point::*value) {
  std::vector<double> x, y;
  for (const GrowthReport::Point& point : points) {
    x.push_back(static_cast<double>(point.size));
    y.push_back(point.*value);
  }
  return fitted_exponent(x, y);
}

}  // namespace

double GrowthReport::Series::measured_exponent() const { return exponent(points, &Point::seconds); }
double GrowthReport::Series::expected_exponent() const { return exponent(points, &Point::expected); }

GrowthReport measure_growth(const BenchCase& bench, int64_t steps) {
  GrowthReport out;
  {
    const auto device = make_bench_device(bench.device, bench.run);
    device->make_current();
    out.machine = measure_machine(*device);
  }
  const MachineModel machine{.flop_per_second = out.machine.best().flop_per_second,
                             .bytes_per_second = out.machine.bytes_per_second};
  for (const Variation& variation : variations) {
    GrowthReport::Series& series = out.series.emplace_back();
    series.name = variation.name;
    for (const int64_t size : variation.sizes) {
      BenchCase varied = bench;
      variation.apply(varied, size);
      const TimedStep timed = time_step(varied, {.steps = steps, .warmup = 1});
      series.points.push_back({size, timed.step.median,
                               machine.seconds(timed.work.forward) + machine.seconds(timed.work.backward) +
                                   machine.seconds(timed.work.optimizer)});
    }
  }
  return out;
}

std::string describe(const GrowthReport& report) {
  std::string text = fmt::format("machine: {}\n", describe(report.machine));
  for (const auto& series : report.series) {
    text += fmt::format("{:<10} {:>12} {:>20}\n", series.name, "step, ms", "work at these rates");
    for (const auto& point : series.points) {
      text += fmt::format("{:<10} {:>12.1f} {:>20.1f}\n", point.size, point.seconds * 1e3, point.expected * 1e3);
    }
    text +=
        fmt::format("{:<10} {:>12.2f} {:>20.2f}\n", "exponent", series.measured_exponent(), series.expected_exponent());
  }
  return text;
}

nlohmann::json to_json(const GrowthReport& report) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& series : report.series) {
    nlohmann::json points = nlohmann::json::array();
    for (const auto& point : series.points) {
      points.push_back({{"size", point.size}, {"seconds", point.seconds}, {"expected", point.expected}});
    }
    out.push_back({{"name", series.name},
                   {"points", points},
                   {"measured_exponent", series.measured_exponent()},
                   {"expected_exponent", series.expected_exponent()}});
  }
  return out;
}

}  // namespace bev
