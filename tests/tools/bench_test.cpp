// What of the bench can be known without timing anything: quantiles, exponents, the scaling model on cases computed by
// hand, what random batches hold, and that an exported step is complete.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/file/safetensors.h"
#include "tests/support/temporary_folder.h"
#include "tools/bench/dry_step.h"
#include "tools/bench/export_case.h"
#include "tools/bench/growth.h"
#include "tools/bench/kernel_bench.h"
#include "tools/bench/scaling_report.h"
#include "tools/bench/statistics.h"

namespace bev {

namespace {

BenchCase small_case() {
  BenchCase out;
  out.batch = 2;
  PolicyConfig& p = out.run.policy;
  p.width = 32;
  p.heads = 4;
  p.layers = 3;
  p.condition_layers = 1;
  p.vl_tokens = 9;
  p.reasoning_tokens = 3;
  p.vlm_dim = 24;
  p.vl_emb_dim = 16;
  p.cells = 4;
  p.bev_input_size = {64, 64};
  p.action_min = {-3, -40};
  p.action_max = {70, 40};
  out.run.inference_steps = 2;
  return out;
}

TEST_CASE("quantiles lie between their neighbours") {
  const Spread spread = spread_of({5, 1, 4, 2});
  CHECK(spread.count == 4);
  CHECK(spread.min == 1);
  CHECK(spread.lower_quartile == doctest::Approx(1.75));
  CHECK(spread.median == doctest::Approx(3));
  CHECK(spread.upper_quartile == doctest::Approx(4.25));
  CHECK(spread.max == 5);
  CHECK(spread_of({7}).median == 7);
  CHECK_THROWS_AS(spread_of({}), Error);
}

TEST_CASE("exponents: of powers exactly, of a power on a constant something smaller") {
  std::vector<double> x = {1, 2, 4, 8}, square, offset;
  for (const double v : x) {
    square.push_back(3 * v * v);
    offset.push_back(4 + v);
  }
  CHECK(fitted_exponent(x, square) == doctest::Approx(2));
  CHECK(fitted_exponent(x, offset) > 0.1);
  CHECK(fitted_exponent(x, offset) < 0.9);
  CHECK_THROWS_AS(fitted_exponent({2, 2}, {1, 3}), Error);
  CHECK_THROWS_AS(fitted_exponent({1, 2}, {0, 3}), Error);
}

/// Forward 1 s, backward 2 s, optimiser 0.5 s; four gradients of 100 bytes, one complete every half second.
StepWork even_work() {
  StepWork work;
  work.forward.matmul_flop = 10;
  work.backward.matmul_flop = 20;
  work.optimizer.bytes = 50;
  for (int i = 1; i <= 4; ++i) work.gradients.push_back({"p", 100, {.matmul_flop = 5.0 * i}});
  return work;
}
constexpr MachineModel slow_machine = {.flop_per_second = 10, .bytes_per_second = 100, .link_bytes_per_second = 400};

TEST_CASE("scaling: what is reduced while backward runs costs nothing, what comes after it does") {
  // Two GPUs: a gradient of 100 bytes takes 2 (1/2) 100/400 = 0.25 s, ready at 0.5, 1, 1.5 and 2 s of backward.
  const ScalingResult two = predict_scaling(slow_machine, even_work(), 1, 2);
  CHECK(two.communication_s == doctest::Approx(1));
  CHECK(two.exposed_s == doctest::Approx(0.25));
  CHECK(two.step_s == doctest::Approx(3.75));
  CHECK(two.speedup == doctest::Approx(2 * 3.5 / 3.75));
  // One bucket of all: 400 bytes, 1 s, none of it hidden.
  CHECK(predict_scaling(slow_machine, even_work(), 1000, 2).exposed_s == doctest::Approx(1));
  // A link so slow that each reduction waits for the one before: ready at 0.5 s, then four times 2.5 s.
  MachineModel slow_link = slow_machine;
  slow_link.link_bytes_per_second = 40;
  CHECK(predict_scaling(slow_link, even_work(), 1, 2).exposed_s == doctest::Approx(0.5 + 4 * 2.5 - 2));
}

TEST_CASE("scaling: one GPU communicates nothing, and latency counts once a bucket") {
  const ScalingResult one = predict_scaling(slow_machine, even_work(), 1, 1);
  CHECK(one.exposed_s == 0);
  CHECK(one.speedup == 1);
  MachineModel late = slow_machine;
  late.collective_s = 0.125;
  CHECK(predict_scaling(late, even_work(), 200, 2).communication_s == doctest::Approx(2 * (0.5 + 0.125)));
  CHECK(ring_seconds(slow_machine, 400, 8) == doctest::Approx(2 * 7.0 / 8));
}

TEST_CASE("scaling: the report goes up to the asked number and puts the heaviest assumption first") {
  const ScalingReport report = report_scaling(slow_machine, even_work(), 32, 1000, 6);
  std::vector<int> gpus;
  for (const ScalingResult& result : report.results) gpus.push_back(result.gpus);
  CHECK(gpus == std::vector<int>{1, 2, 4, 6});
  CHECK(report.gradient_bytes == 400);
  const double base = report.results.back().speedup;
  const auto weight = [&](const ScalingReport::Sensitivity& s) {
    return std::max(std::abs(s.halved - base), std::abs(s.doubled - base));
  };
  for (size_t i = 1; i < report.sensitivities.size(); ++i) {
    CHECK(weight(report.sensitivities[i - 1]) >= weight(report.sensitivities[i]));
  }
}

TEST_CASE("random batches: trajectories in the action range, tokens of unit variance, the same for the same numbers") {
  const BenchCase bench = small_case();
  const std::vector<FieldSpec> fields = bench.fields();
  Batch a = allocate_batch(fields, 64, plain_host_memory()), b = allocate_batch(fields, 64, plain_host_memory());
  fill_randomly(a, bench.run.policy, 5, 0);
  fill_randomly(b, bench.run.policy, 5, 0);
  const Tensor& actions = a.at("agent_pos");
  double lowest = 1e9, highest = -1e9;
  for (int64_t i = 1; i < actions.size(); i += 2) {
    lowest = std::min<double>(lowest, actions.data<float>()[i]);
    highest = std::max<double>(highest, actions.data<float>()[i]);
  }
  CHECK(lowest >= -40);
  CHECK(lowest < -35);
  CHECK(highest <= 40);
  CHECK(highest > 35);
  const Tensor& cells = a.at("lidar_token");
  double squares = 0;
  for (int64_t i = 0; i < cells.size(); ++i) squares += std::pow(cells.data<float>()[i], 2);
  CHECK(squares / static_cast<double>(cells.size()) == doctest::Approx(1).epsilon(0.02));
  for (const FieldSpec& field : fields) {
    CHECK(std::memcmp(a.at(field.name).raw(), b.at(field.name).raw(), a.at(field.name).bytes()) == 0);
  }
  fill_randomly(b, bench.run.policy, 5, 1);
  CHECK(std::memcmp(a.at("lidar_token").raw(), b.at("lidar_token").raw(), cells.bytes()) != 0);
}

TEST_CASE("a dry step counts work in every part and tells memory by purpose") {
  const auto device = make_cpu_device();
  BenchCase bench = small_case();
  const DryStep two = dry_step(bench, *device);
  bench.batch = 4;
  const DryStep four = dry_step(bench, *device);
  CHECK(two.work.forward.matmul_flop > 0);
  CHECK(two.work.backward.matmul_flop > two.work.forward.matmul_flop);
  CHECK(two.work.optimizer.matmul_flop == 0);
  CHECK(two.work.optimizer.bytes > 5.0 * static_cast<double>(two.memory.weights));
  CHECK(four.work.optimizer.bytes == two.work.optimizer.bytes);
  CHECK(four.memory.weights == two.memory.weights);
  CHECK(four.memory.activations > two.memory.activations);
  double bytes = 0, flop = 0;
  for (const GradientEvent& gradient : two.work.gradients) {
    bytes += gradient.bytes;
    CHECK(gradient.before.matmul_flop >= flop);
    flop = gradient.before.matmul_flop;
  }
  CHECK(bytes <= static_cast<double>(two.memory.gradients));
  CHECK(flop <= two.work.backward.matmul_flop);
  const auto limit = static_cast<int64_t>(largest_batch(bench, *device, four.memory.extent));
  CHECK(limit >= 4);
  CHECK(largest_batch(bench, *device, 1000) == 0);
}

TEST_CASE("an exported step holds the configuration, weights, batch, loss and a gradient for every trained weight") {
  const test::TemporaryFolder folder;
  const BenchCase bench = small_case();
  const std::string path = folder.file("case");
  export_case(bench, path);
  const auto json = nlohmann::json::parse(test::read_file(path + "/case.json"));
  CHECK(json["policy"]["width"] == 32);
  CHECK(json["policy"]["grid"] == nlohmann::json{2, 2});
  const auto weights = SafetensorsFile::open(path + "/model.safetensors");
  const auto batch = SafetensorsFile::open(path + "/batch.safetensors");
  const auto expected = SafetensorsFile::open(path + "/expected.safetensors");
  CHECK(batch.tensor("bev").shape() == Shape{2, 4, 4, 512});
  CHECK(batch.tensor("noisy").shape() == Shape{2, 6, 2});
  CHECK(batch.tensor("times").dtype() == DType::i64);
  CHECK(std::isfinite(expected.tensor("loss").data<float>()[0]));
  for (const auto& entry : expected.entries()) {
    if (entry.name == "loss") continue;
    const auto* weight = weights.find(entry.name.substr(std::string("gradient.").size()));
    REQUIRE(weight != nullptr);
    CHECK(weight->shape == entry.shape);
  }
  CHECK(expected.entries().size() > 50);
  CHECK(weights.find("model.decoder.layers.0.linear1.weight") != nullptr);

  BenchCase unknown = small_case();
  unknown.run.policy.mask_padding = true;
  CHECK_THROWS_AS(export_case(unknown, path), Error);
}

LaunchGroup sum_of(const std::vector<LaunchGroup>& groups) {
  LaunchGroup out;
  for (const LaunchGroup& group : groups) {
    out.launches += group.launches;
    out.bytes += group.bytes;
    out.flop += group.flop;
    CHECK(group.seconds > 0);
  }
  return out;
}

TEST_CASE("kernels: every launch of a step is seen once, with the work that a dry run counts") {
  for (const BevMode mode : {BevMode::tokens, BevMode::raster}) {
    BenchCase bench = small_case();
    bench.run.policy.mode = mode;
    if (mode == BevMode::raster) bench.run.policy.cells = bench.run.policy.grid_cells();
    const WorkTally dry = [&] {
      const auto device = make_cpu_device();
      return dry_step(bench, *device).plan.work;
    }();
    const KernelReport report = measure_kernels(bench, {.steps = 3, .warmup = 1});
    const LaunchGroup kernels = sum_of(report.kernels), products = sum_of(report.products),
                      convolutions = sum_of(report.convolutions);
    constexpr int64_t of_the_loss =
        3;  // collected, published, its gradient set: by TrainingStep, of which a plan has none
    CHECK(kernels.launches + products.launches + convolutions.launches == dry.launches + of_the_loss);
    CHECK(kernels.bytes == doctest::Approx(dry.bytes).epsilon(1e-4));
    CHECK(products.flop == doctest::Approx(dry.matmul_flop));
    CHECK(convolutions.flop == doctest::Approx(dry.convolution_flop));
    CHECK((convolutions.launches > 0) == (mode == BevMode::raster));

    const KernelReport sampling = measure_kernels(bench, {.steps = 2, .warmup = 1, .validation = true});
    const auto is_sampling = [](const LaunchGroup& group) { return group.name == "SamplingStep<float>"; };
    const auto found = std::ranges::find_if(sampling.kernels, is_sampling);
    REQUIRE(found != sampling.kernels.end());
    CHECK(found->launches == bench.run.inference_steps);
    CHECK(std::ranges::none_of(report.kernels, is_sampling));
    CHECK(to_json(sampling, bench)["kernels"].size() == sampling.kernels.size());
  }
}

}  // namespace

}  // namespace bev
