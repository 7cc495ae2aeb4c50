#include "tools/bench/kernel_bench.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/launch_profile.h"
#include "runtime/observed_engines.h"
#include "runtime/train/training_step.h"
#include "tools/common/clock.h"

namespace bev {

namespace {

/// "ActivationForward<float, Gelu>" from a kernel's mangled type.
std::string readable(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status),
                                                     std::free);
  std::string out = status == 0 ? plain.get() : mangled;
  const std::string own = "bev::";
  for (size_t at = out.find(own); at != std::string::npos; at = out.find(own, at)) out.erase(at, own.size());
  return out;
}

void validate(Replica& replica, BatchSource& batches) {
  Context& context = replica.context();
  replica.inputs().before_next();
  const Batch& batch = replica.inputs().stage(batches.next());
  context.tape.set_recording(false);
  context.training = false;
  context.restart_random_places();
  MetricSums sums;
  replica.task().validate(context, batch, sums);
  replica.inputs().release();
  replica.device().synchronize(context.stream);
}

std::vector<LaunchGroup> groups_of(const LaunchProfile& profile, Launch::Kind kind) {
  std::map<std::string, LaunchGroup> by_name;
  for (const LaunchProfile::Timed& timed : profile.launches()) {
    if (timed.launch.kind != kind) continue;
    LaunchGroup& group = by_name[timed.launch.name];
    group.launches += 1;
    group.seconds += timed.median();
    group.bytes += timed.launch.bytes;
    group.flop += timed.launch.flop;
  }
  std::vector<LaunchGroup> out;
  for (auto& [name, group] : by_name) {
    group.name = kind == Launch::Kind::kernel ? readable(name) : name;
    out.push_back(std::move(group));
  }
  std::ranges::stable_sort(out, [](const LaunchGroup& a, const LaunchGroup& b) { return a.seconds > b.seconds; });
  return out;
}

constexpr double shown_from = 0.0005;  // of the step's time, in the text

LaunchGroup total_of(const std::vector<LaunchGroup>& groups, std::string name = "") {
  LaunchGroup out{.name = std::move(name)};
  for (const LaunchGroup& group : groups) {
    out.launches += group.launches;
    out.seconds += group.seconds;
    out.bytes += group.bytes;
    out.flop += group.flop;
  }
  return out;
}

/// The work of a group, in the unit of `rate`, against the machine's rate.
struct Measure {
  double LaunchGroup::*work;
  double rate;
  const char *unit, *rate_unit, *share_of;
};

std::string table(const char* title, const std::vector<LaunchGroup>& groups, double step, const Measure& measure) {
  if (groups.empty()) return "";
  std::string text = fmt::format("{}\n  {:>8} {:>9} {:>6} {:>9} {:>9} {:>6}\n", title, "launches", "ms", "step",
                                 measure.unit, measure.rate_unit, measure.share_of);
  const auto line = [&](const LaunchGroup& g) {
    const double rate = g.*measure.work / g.seconds;
    text += fmt::format("  {:>8} {:>9.3f} {:>5.1f}% {:>9.2f} {:>9.1f} {:>5.0f}%  {}\n", g.launches, g.seconds * 1e3,
                        100 * g.seconds / step, g.*measure.work * 1e-9, rate * 1e-9, 100 * rate / measure.rate, g.name);
  };
  std::vector<LaunchGroup> small;
  for (const LaunchGroup& group : groups) {
    if (group.seconds < shown_from * step) {
      small.push_back(group);
    } else {
      line(group);
    }
  }
  if (!small.empty())
    line(total_of(small, fmt::format("{} others, each below {} % of the step", small.size(), 100 * shown_from)));
  line(total_of(groups, "together"));
  return text;
}

Measure by_bytes(const MachineRates& machine) {
  return {&LaunchGroup::bytes, machine.bytes_per_second, "GB", "GB/s", "copy"};
}
Measure by_flop(const MachineRates& machine) {
  return {&LaunchGroup::flop, machine.best().flop_per_second, "GFLOP", "GFLOP/s", "best"};
}

}  // namespace

KernelReport measure_kernels(const BenchCase& bench, const KernelOptions& options) {
  KernelReport out;
  out.of = options.validation ? "a validation batch" : "a training step";
  with_replica(bench, [&](Replica& replica) {
    Context& context = replica.context();
    const auto batches = make_batches(bench, replica);
    TrainingStep step(replica, *batches, {.micro_batch = bench.batch});
    int64_t done = 0;
    const auto run = [&] {
      if (options.validation) {
        validate(replica, *batches);
      } else {
        step.enqueue(done, bench.run.learning_rate);
        step.collect();
      }
      ++done;
    };
    while (done < options.warmup) run();

    LaunchProfile profile(replica.device());
    context.stream.observer = &profile;
    context.matmul = observed(context.matmul);
    context.convolution = observed(context.convolution);
    std::vector<double> seconds;
    for (int64_t i = 0; i < options.steps; ++i) {
      const double begin = now_seconds();
      run();
      seconds.push_back(now_seconds() - begin);
      profile.end_repetition();
    }
    context.stream.observer = nullptr;
    out.step = spread_of(std::move(seconds));
    out.kernels = groups_of(profile, Launch::Kind::kernel);
    out.products = groups_of(profile, Launch::Kind::product);
    out.convolutions = groups_of(profile, Launch::Kind::convolution);
    out.machine = measure_machine(replica.device());
  });
  return out;
}

std::string describe(const KernelReport& report, const BenchCase& bench) {
  const double step = report.step.median;
  const double timed =
      total_of(report.kernels).seconds + total_of(report.products).seconds + total_of(report.convolutions).seconds;
  std::string text = fmt::format("launches of {}, batch {} on {}: {} while each is timed\n", report.of, bench.batch,
                                 bench.device, milliseconds(report.step));
  text += table("kernels", report.kernels, step, by_bytes(report.machine));
  text += table("matrix products, by shape", report.products, step, by_flop(report.machine));
  text += table("convolutions, by shape", report.convolutions, step, by_flop(report.machine));
  text += fmt::format("{:.1f} ms of the step ({:.1f} %) lie between launches\n", (step - timed) * 1e3,
                      100 * (step - timed) / step);
  return text + fmt::format("machine: {}\n", describe(report.machine));
}

nlohmann::json to_json(const KernelReport& report, const BenchCase& bench) {
  const auto rows = [](const std::vector<LaunchGroup>& groups, const Measure& measure) {
    nlohmann::json out = nlohmann::json::array();
    for (const LaunchGroup& g : groups) {
      const double rate = g.*measure.work / g.seconds;
      out.push_back({{"name", g.name},
                     {"launches", g.launches},
                     {"seconds", g.seconds},
                     {"bytes", g.bytes},
                     {"flop", g.flop},
                     {"rate", rate},
                     {"share", rate / measure.rate}});
    }
    return out;
  };
  return {{"of", report.of},
          {"device", bench.device},
          {"batch", bench.batch},
          {"plain", bench.run.policy.plain},
          {"median", report.step.median},
          {"kernels", rows(report.kernels, by_bytes(report.machine))},
          {"products", rows(report.products, by_flop(report.machine))},
          {"convolutions", rows(report.convolutions, by_flop(report.machine))},
          {"copy_bytes_per_second", report.machine.bytes_per_second},
          {"best_flop_per_second", report.machine.best().flop_per_second}};
}

}  // namespace bev
