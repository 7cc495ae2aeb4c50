// gpu_probe [--bench] [--config FILE [--set a.b=c]] [--json]: what this machine offers for training. Exits with 0 if
// there is a usable GPU, with 1 if there is none; it then says why, and asks of the CPU what it would of a GPU.
#include <fmt/core.h>

#include <cxxopts.hpp>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/replica.h"
#include "tools/common/devices.h"
#include "tools/common/exit_status.h"
#include "tools/common/fit.h"
#include "tools/common/probe_report.h"

namespace {

using namespace bev;

struct Wanted {
  bool bench = false;
  std::unique_ptr<ConfiguredRun> run;  // null: no configuration
};

/// Of one device: its rates and how the configuration fits, where they were asked for.
struct Answers {
  std::string device;
  std::optional<DeviceRates> rates;
  std::optional<Fit> fit;
};

Answers ask(Device& device, std::optional<DeviceRates> rates, const Wanted& wanted) {
  Answers out{.device = device.text(), .rates = std::move(rates), .fit = std::nullopt};
  if (!wanted.run) return out;
  const Engines engines = make_engines(device, device.make_stream());  // which hold memory of their own, as in training
  const double share = device.kind() == DeviceKind::cuda ? share_of_gpu(1) : 1;
  const size_t room = room_for_a_plan(device.memory().free, share);
  out.fit = fit_to_device(wanted.run->config, device, room, out.rates ? &*out.rates : nullptr);
  return out;
}

std::vector<Answers> ask_all(const CudaFacts& cuda, const Wanted& wanted) {
  std::vector<Answers> out;
  if (!cuda.usable()) {
    const auto device = make_cpu_device();
    const auto rates = wanted.bench ? std::optional(measure_rates(*device)) : std::nullopt;
    out.push_back(ask(*device, rates, wanted));
    return out;
  }
  for (const GpuFacts& gpu : cuda.gpus) {
    if (!gpu.problem.empty()) continue;
    const auto rates = wanted.bench ? std::optional(measure_gpu(gpu.ordinal)) : std::nullopt;
    const auto device = make_cuda_device(gpu.ordinal, {});
    out.push_back(ask(*device, rates, wanted));
  }
  return out;
}

std::optional<LinkReport> ask_links(const CudaFacts& cuda, const Wanted& wanted) {
  std::vector<int> gpus;
  for (const GpuFacts& gpu : cuda.gpus) {
    if (gpu.problem.empty()) gpus.push_back(gpu.ordinal);
  }
  if (!wanted.bench || gpus.size() < 2) return std::nullopt;
  return measure_links(gpus);
}

void print_json(const CudaFacts& cuda, const CpuFacts& cpu, const std::vector<Answers>& answers,
                const std::optional<LinkReport>& links) {
  nlohmann::json out = {{"cuda", to_json(cuda)}, {"cpu", to_json(cpu)}};
  for (const Answers& of : answers) {
    if (of.rates) out["rates"][of.device] = to_json(*of.rates);
    if (of.fit) out["fit"].push_back(to_json(*of.fit));
  }
  if (links) out["all_reduce"] = {{"bytes", links->bytes}, {"bytes_per_s", links->bytes_per_second()}};
  fmt::print("{}\n", out.dump(2));
}

void print_table(const CudaFacts& cuda, const CpuFacts& cpu, const std::vector<Answers>& answers,
                 const std::optional<LinkReport>& links) {
  fmt::print("{}{}", describe(cuda), describe(cpu));
  for (const Answers& of : answers) {
    if (of.rates) fmt::print("{}: {}\n", of.device, describe(*of.rates));
  }
  if (links) fmt::print("{}\n", links->text());
  for (const Answers& of : answers) {
    if (of.fit) fmt::print("{}", describe(*of.fit));
  }
}

int run(int argc, char** argv) {
  cxxopts::Options options("gpu_probe", "What this machine offers for training. Exits with 1 where no GPU is usable.");
  options.add_options()("bench", "measure rates: products, convolutions, copies, links")(
      "config", "whether the model of this configuration fits", cxxopts::value<std::string>())(
      "set", "overrides a key of the configuration: a.b=c", cxxopts::value<std::vector<std::string>>())(
      "json", "for programs")("h,help", "this text");
  const cxxopts::ParseResult arguments = [&] {
    try {
      return options.parse(argc, argv);
    } catch (const std::exception& error) {  // the library's own type has had several names
      fail(ErrorKind::usage, "{}", error.what());
    }
  }();
  if (arguments.count("help") > 0) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (!arguments.unmatched().empty()) {
    fail(ErrorKind::usage, "\"{}\" is one argument too many", arguments.unmatched()[0]);
  }
  const bool overrides = arguments.count("set") > 0;
  if (overrides && arguments.count("config") == 0)
    fail(ErrorKind::usage, "--set changes a configuration: give --config");
  Wanted wanted{.bench = arguments.count("bench") > 0, .run = nullptr};
  if (arguments.count("config") > 0) {
    wanted.run = load_run(arguments["config"].as<std::string>(),
                          overrides ? arguments["set"].as<std::vector<std::string>>() : std::vector<std::string>());
  }
  const CudaFacts cuda = probe_cuda();
  const CpuFacts cpu = probe_cpu();
  const std::vector<Answers> answers = ask_all(cuda, wanted);
  const std::optional<LinkReport> links = ask_links(cuda, wanted);
  (arguments.count("json") > 0 ? print_json : print_table)(cuda, cpu, answers, links);
  return cuda.usable() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return bev::exit_status_of("gpu_probe", [&] { return run(argc, argv); });
}
