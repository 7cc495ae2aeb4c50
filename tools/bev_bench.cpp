// bev_bench: times training steps and their parts, counts what they ask of the machine, and predicts how several GPUs
// scale. A command is a line of the table below; the measuring is in tools/bench/.
#include <fmt/core.h>

#include <cxxopts.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "tools/bench/bench_replica.h"
#include "tools/bench/dry_step.h"
#include "tools/bench/export_case.h"
#include "tools/bench/growth.h"
#include "tools/bench/kernel_bench.h"
#include "tools/bench/memory_report.h"
#include "tools/bench/sample_bench.h"
#include "tools/bench/scaling_report.h"
#include "tools/bench/step_bench.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"

namespace {

using bev::BenchCase;
using bev::ErrorKind;
using Arguments = cxxopts::ParseResult;

template <class T>
auto value(const T& standard) {
  return cxxopts::value<T>()->default_value(fmt::format("{}", standard));
}

/// What every command takes: which policy, which machine, which batch.
void common_options(cxxopts::OptionAdder& add) {
  const bev::PolicyConfig sizes;
  add("config", "YAML of a run; without it the defaults, which are the full size", cxxopts::value<std::string>());
  add("set", "a.b=c: overrides a key; may be repeated", cxxopts::value<std::vector<std::string>>());
  add("device", "cpu or cuda:N", cxxopts::value<std::string>()->default_value("cpu"));
  add("batch", "samples", value<int64_t>(8));
  add("vl-tokens", "vision-language tokens of a sample", value(sizes.vl_tokens));
  add("reasoning-tokens", "reasoning tokens of a sample", value(sizes.reasoning_tokens));
  add("cells", "BEV tokens of an observed step", value(sizes.cells));
  add("plain", "turn every exact restructuring off");
  add("json", "one line of JSON instead of text");
}

BenchCase case_of(const Arguments& a) {
  const auto run = bev::load_run(a.count("config") > 0 ? a["config"].as<std::string>() : "", bev::values_of(a, "set"));
  BenchCase out{.run = run->config, .device = a["device"].as<std::string>(), .batch = a["batch"].as<int64_t>()};
  bev::PolicyConfig& policy = out.run.policy;
  policy.vl_tokens = a["vl-tokens"].as<int64_t>();
  policy.reasoning_tokens = a["reasoning-tokens"].as<int64_t>();
  policy.cells = policy.mode == bev::BevMode::raster ? policy.grid_cells() : a["cells"].as<int64_t>();
  if (a.count("plain") > 0) policy.plain = true;
  for (const auto& [name, size] :
       {std::pair{"batch", out.batch}, std::pair{"vl-tokens", policy.vl_tokens},
        std::pair{"reasoning-tokens", policy.reasoning_tokens}, std::pair{"cells", policy.cells}}) {
    if (size < 1) bev::fail(ErrorKind::usage, "--{} {}: expected at least 1", name, size);
  }
  return out;
}

int64_t count_of(const Arguments& a, const char* name, int64_t least) {
  const auto count = a[name].as<int64_t>();
  if (count < least) bev::fail(ErrorKind::usage, "--{} {}: expected at least {}", name, count, least);
  return count;
}

double positive(const Arguments& a, const char* name) {
  const auto number = a[name].as<double>();
  if (!(number > 0)) bev::fail(ErrorKind::usage, "--{} {}: expected a positive number", name, number);
  return number;
}

template <class Report, class... Rest>
void print(const Arguments& a, const Report& report, const Rest&... rest) {
  if (a.count("json") > 0) {
    fmt::print("{}\n", to_json(report, rest...).dump());
  } else {
    fmt::print("{}", describe(report, rest...));
  }
}

void step_options(cxxopts::OptionAdder& add) {
  common_options(add);
  add("steps", "steps that are timed", value<int64_t>(10));
  add("warmup", "steps before them", value<int64_t>(2));
}

void step(const Arguments& a) {
  const BenchCase bench = case_of(a);
  print(a, bev::measure_step(bench, {.steps = count_of(a, "steps", 1), .warmup = count_of(a, "warmup", 0)}), bench);
}

void kernel_options(cxxopts::OptionAdder& add) {
  step_options(add);
  add("validation", "a validation batch, which samples trajectories, instead of a training step");
}

void kernels(const Arguments& a) {
  const BenchCase bench = case_of(a);
  const bev::KernelOptions options{
      .steps = count_of(a, "steps", 1), .warmup = count_of(a, "warmup", 0), .validation = a.count("validation") > 0};
  print(a, bev::measure_kernels(bench, options), bench);
}

void memory(const Arguments& a) { print(a, bev::plan_memory(case_of(a))); }

void export_options(cxxopts::OptionAdder& add) {
  common_options(add);
  add("out", "folder to write to", cxxopts::value<std::string>());
}

void export_step(const Arguments& a) {
  if (a.count("out") == 0) bev::fail(ErrorKind::usage, "where to? give --out DIR");
  bev::export_case(case_of(a), a["out"].as<std::string>());
}

void sample_options(cxxopts::OptionAdder& add) {
  common_options(add);
  add("diffusion-steps", "numbers of sampling steps",
      cxxopts::value<std::vector<int64_t>>()->default_value("100,10,2"));
  add("repeats", "how often each is timed", value<int64_t>(5));
}

void sample(const Arguments& a) {
  print(a,
        bev::measure_sampling(case_of(a), a["diffusion-steps"].as<std::vector<int64_t>>(), count_of(a, "repeats", 1)));
}

void scaling_options(cxxopts::OptionAdder& add) {
  common_options(add);
  add("gpus", "most GPUs to predict for", value<int64_t>(8));
  add("link", "GB/s that a ring of all GPUs sustains", cxxopts::value<double>());
  add("latency-us", "of a reduction, before bytes flow", value(30.0));
  add("rate", "TFLOP/s in products; without it measured on --device", cxxopts::value<double>());
  add("bandwidth", "GB/s in kernels; without it measured on --device", cxxopts::value<double>());
  add("launch-us", "of a launch", value(3.0));
}

void scaling(const Arguments& a) {
  if (a.count("link") == 0) bev::fail(ErrorKind::usage, "how fast is the link between the GPUs? give --link GB/s");
  const BenchCase bench = case_of(a);
  const auto device = bev::make_bench_device(bench.device, bench.run);
  device->make_current();
  bev::MachineModel machine{.launch_s = positive(a, "launch-us") * 1e-6,
                            .link_bytes_per_second = positive(a, "link") * 1e9,
                            .collective_s = positive(a, "latency-us") * 1e-6};
  std::string origin = "as given";
  if (a.count("rate") == 0 || a.count("bandwidth") == 0) {
    const bev::MachineRates rates = bev::measure_machine(*device);
    origin = "what was not given is measured on " + device->text();
    machine.flop_per_second = rates.best().flop_per_second;
    machine.bytes_per_second = rates.bytes_per_second;
  }
  if (a.count("rate") > 0) machine.flop_per_second = positive(a, "rate") * 1e12;
  if (a.count("bandwidth") > 0) machine.bytes_per_second = positive(a, "bandwidth") * 1e9;
  bev::ScalingReport report =
      bev::report_scaling(machine, bev::dry_step(bench, *device).work, bench.batch,
                          bench.run.runtime.bucket_mib * (1 << 20), static_cast<int>(count_of(a, "gpus", 1)));
  report.origin = origin;
  print(a, report);
}

void grow_options(cxxopts::OptionAdder& add) {
  common_options(add);
  add("steps", "steps that are timed at each point", value<int64_t>(3));
}

void grow(const Arguments& a) { print(a, bev::measure_growth(case_of(a), count_of(a, "steps", 1))); }

constexpr bev::Command commands[] = {
    {"step", nullptr, "training steps: time, parts, and share of the machine's rates", step_options, step},
    {"kernels", nullptr, "every kernel, product and convolution of a step: time, and share of the machine's rates",
     kernel_options, kernels},
    {"memory", nullptr, "what a step needs, by purpose and by part of the model; the largest batch", common_options,
     memory},
    {"sample", nullptr, "trajectories a second, and the latency of one", sample_options, sample},
    {"scaling", nullptr, "predicts the speed-up of several GPUs", scaling_options, scaling},
    {"grow", nullptr, "step time against batch, width, layers and tokens, with exponents", grow_options, grow},
    {"export", nullptr, "a step with its loss and gradients, for the PyTorch peer", export_options, export_step},
};

}  // namespace

int main(int argc, char** argv) { return bev::run_commands("bev_bench", commands, argc, argv); }
