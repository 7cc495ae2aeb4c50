// bev_eval: how well checkpoints drive on the validation set, with parts of the input hidden; how fast they sample; and
// their weights for others.
#include <cmath>
#include <cxxopts.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "tools/common/arguments.h"
#include "tools/common/evaluation.h"
#include "tools/common/exit_status.h"

namespace {

using namespace bev;

cxxopts::ParseResult parse(int argc, char** argv, cxxopts::Options& options) {
  options.add_options()("run", "a run's directory (its best checkpoint) or a checkpoint's; may be repeated",
                        cxxopts::value<std::vector<std::string>>())(
      "ablate", "what is hidden, in turn: none, bev, vl",
      cxxopts::value<std::vector<std::string>>()->default_value("none"))(
      "samples", "validate on so many samples, evenly spread; 0: on all",
      cxxopts::value<int64_t>()->default_value("0"))("speed", "time sampling with 100, 10 and 2 steps")(
      "batch", "of --speed", cxxopts::value<int64_t>()->default_value("32"))(
      "export", "write the averaged weights of the one run, under the reference's names, to this safetensors file",
      cxxopts::value<std::string>())("gpus", "GPU to use", cxxopts::value<std::string>()->default_value(""))(
      "device", "cpu or cuda:N", cxxopts::value<std::string>()->default_value(""))(
      "set", "override a key of the checkpoint's configuration: a.b=c", cxxopts::value<std::vector<std::string>>())(
      "json", "print JSON")("help", "this text");
  try {
    return options.parse(argc, argv);
  } catch (const std::exception& error) {  // the library's own type has had several names
    fail(ErrorKind::usage, "{}; --help lists the options", error.what());
  }
}

double mean_of(const MetricSums& sums, const std::string& name) {
  for (const MetricSums::Entry& entry : sums.entries) {
    if (entry.name == name) return entry.sum / entry.count;
  }
  return std::nan("");
}

nlohmann::ordered_json to_json(const MetricSums& sums) {
  nlohmann::ordered_json out;
  for (const MetricSums::Entry& entry : sums.entries) out[entry.name] = entry.sum / entry.count;
  return out;
}

/// Of every run and ablation in one table, and of several runs the means.
class Report {
 public:
  void add(const std::string& run, Ablation ablation, const MetricSums& sums) {
    const double policy = mean_of(sums, "L2_avg"), constant = mean_of(sums, "cv_avg");
    if (ablation == Ablation::none) whole_ = policy;
    const bool compared = ablation != Ablation::none && std::isfinite(whole_);
    if (rows_++ == 0) {
      fmt::print("{:28} {:8} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9} {:>18}\n", "run", "hidden", "1 s", "2 s", "3 s",
                 "mean", "/ const.", "/ whole", "near const. (its)");
    }
    fmt::print("{:28} {:8} {:7.3f} {:7.3f} {:7.3f} {:7.3f} {:9.3f} {:>9} {:>18}\n", run, name_of(ablation),
               mean_of(sums, "L2_1s"), mean_of(sums, "L2_2s"), mean_of(sums, "L2_3s"), policy, policy / constant,
               compared ? fmt::format("{:.3f}", policy / whole_) : "",
               mean_of(sums, "near_cv_share") > 0
                   ? fmt::format("{:.3f} ({:.3f})", mean_of(sums, "L2_avg_near_cv"), mean_of(sums, "cv_avg_near_cv"))
                   : "none is");
    Mean& mean = means_[ablation];
    mean.against_constant += policy / constant;
    if (compared) mean.against_whole += policy / whole_;
    mean.count += 1;
  }
  void finish() const {
    for (const auto& [ablation, mean] : means_) {
      if (mean.count < 2) continue;
      fmt::print("mean of {} runs, hidden {}: {:.3f} of constant velocity", mean.count, name_of(ablation),
                 mean.against_constant / mean.count);
      if (ablation != Ablation::none) fmt::print(", {:.3f} of the whole picture", mean.against_whole / mean.count);
      fmt::print("\n");
    }
  }

 private:
  struct Mean {
    double against_constant = 0, against_whole = 0;
    int count = 0;
  };
  double whole_ = std::nan("");
  int rows_ = 0;
  std::map<Ablation, Mean> means_;
};

int evaluate(const cxxopts::ParseResult& arguments) {
  if (!arguments.count("run")) fail(ErrorKind::usage, "which run? --run DIR");
  const std::vector<std::string> runs = values_of(arguments, "run");
  if (arguments.count("export") && runs.size() != 1) fail(ErrorKind::usage, "--export is for one --run");
  const std::vector<std::string> overrides = values_of(arguments, "set");
  std::vector<Ablation> ablations;
  for (const std::string& name : arguments["ablate"].as<std::vector<std::string>>())
    ablations.push_back(ablation_of(name));
  const DeviceChoice devices =
      choose_devices({.gpus = arguments["gpus"].as<std::string>(), .device = arguments["device"].as<std::string>()},
                     {0}, [](const std::string& note) { fmt::print(stderr, "{}\n", note); });
  const bool json = arguments.count("json") > 0;
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  Report report;
  for (const std::string& run : runs) {
    const std::string checkpoint = checkpoint_of(run);
    Evaluation::run(checkpoint, overrides, devices, [&](Evaluation& evaluation) {
      nlohmann::ordered_json entry = {{"run", run}, {"checkpoint", checkpoint}};
      for (const Ablation ablation : ablations) {
        const MetricSums sums = evaluation.metrics(ablation, arguments["samples"].as<int64_t>());
        entry[name_of(ablation)] = to_json(sums);
        if (!json) report.add(run, ablation, sums);
      }
      for (const int64_t steps : {100, 10, 2}) {
        if (!arguments.count("speed") || steps > evaluation.config().policy.diffusion.steps) continue;
        const int64_t batch = arguments["batch"].as<int64_t>();
        const Evaluation::Speed speed = evaluation.sampling_speed(steps, batch);
        entry["speed"][std::to_string(steps)] = {{"latency_ms", speed.latency_ms},
                                                 {"trajectories_per_second", speed.trajectories_per_second}};
        if (!json) {
          fmt::print("{} steps: one trajectory in {:.2f} ms; {:.1f} a second in batches of {}\n", steps,
                     speed.latency_ms, speed.trajectories_per_second, batch);
        }
      }
      if (arguments.count("export")) evaluation.export_weights(arguments["export"].as<std::string>());
      all.push_back(std::move(entry));
    });
  }
  if (json) {
    fmt::print("{}\n", all.dump(2));
  } else {
    report.finish();
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  cxxopts::Options options("bev_eval", "Evaluates checkpoints of the BEV diffusion driving policy.");
  return exit_status_of("bev_eval", [&] {
    const auto arguments = parse(argc, argv, options);
    if (arguments.count("help") == 0) return evaluate(arguments);
    fmt::print("{}", options.help());
    return 0;
  });
}
