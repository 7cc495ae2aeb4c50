// bev_data: makes data sets and looks into them. A command is a function of its own arguments and a line of the table
// below; the work itself is in data/.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cxxopts.hpp>
#include <string>
#include <string_view>
#include <thread>

#include "data/inspect.h"
#include "data/motdp/convert.h"
#include "data/verify.h"
#include "data/world/generate.h"
#include "tools/common/commands.h"

namespace {

using bev::ErrorKind;

int threads_of(const cxxopts::ParseResult& arguments) {
  const int threads = arguments["threads"].as<int>();
  if (threads < 0) bev::fail(ErrorKind::usage, "--threads {}: expected a positive number, or 0 for all", threads);
  return threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

/// One line on a terminal, written over ten times a second; on anything else a line for every tenth part.
class ProgressOnStderr {
 public:
  explicit ProgressOnStderr(std::string what) : what_(std::move(what)) {}

  void operator()(int64_t done, int64_t total) {
    const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    const int64_t mark = terminal_ ? static_cast<int64_t>(10 * seconds) : 10 * done / total;
    if (mark == last_mark_ && done < total) return;
    last_mark_ = mark;
    const double left = seconds * static_cast<double>(total - done) / static_cast<double>(done);
    fmt::print(stderr, "{}{} {}/{}, {:.0f} s left{}", terminal_ ? "\r" : "", what_, done, total, left,
               terminal_ && done < total ? "   " : "\n");
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  Clock::time_point begin_ = Clock::now();
  int64_t last_mark_ = -1;
};

const std::string& directory_of(const cxxopts::ParseResult& arguments) {
  if (arguments.count("positional") == 0) bev::fail(ErrorKind::usage, "which data set? give its directory");
  return arguments["positional"].as<std::string>();
}

void inspect(const cxxopts::ParseResult& arguments) {
  for (const std::string& split : bev::splits_of(directory_of(arguments))) {
    fmt::print("{}", bev::describe(*bev::Dataset::open(split)));
  }
}

void verify(const cxxopts::ParseResult& arguments) {
  size_t problems = 0;
  for (const std::string& split : bev::splits_of(directory_of(arguments))) {
    const auto dataset = bev::Dataset::open(split);
    const auto result = bev::verify_dataset(*dataset, threads_of(arguments), ProgressOnStderr(split));
    for (const std::string& problem : result.problems) fmt::print("{}\n", problem);
    if (result.problems.empty()) {
      fmt::print("{}: {} samples, {} bytes: checksums, numbers and statistics are right\n", split, dataset->size(),
                 result.bytes);
    }
    problems += result.problems.size();
  }
  if (problems > 0) bev::fail(ErrorKind::data, "{} problems, listed above", problems);
}

void generate(const cxxopts::ParseResult& arguments) {
  if (arguments.count("out") == 0) bev::fail(ErrorKind::usage, "where to? give --out DIR");
  bev::world::GenerateOptions options{.directory = arguments["out"].as<std::string>(),
                                      .world = bev::world::world_settings(arguments["world"].as<std::string>()),
                                      .recording = {},
                                      .seed = arguments["seed"].as<uint64_t>(),
                                      .train_routes = arguments["train-routes"].as<int>(),
                                      .val_routes = arguments["val-routes"].as<int>(),
                                      .pictures = arguments["pictures"].as<int>(),
                                      .threads = threads_of(arguments)};
  options.recording.seconds = arguments["seconds"].as<double>();
  options.recording.raster = arguments["raster"].as<int>();
  const auto report = bev::world::generate(options, ProgressOnStderr("routes"));
  fmt::print("{0}/train: {1} samples, {2} frames; {0}/val: {3} samples, {4} frames\n{5}", options.directory,
             report.train_samples, report.train_frames, report.val_samples, report.val_frames,
             bev::world::describe(report.figures));
}

std::string text_of(const cxxopts::ParseResult& arguments, const char* option) {
  if (arguments.count(option) == 0) bev::fail(ErrorKind::usage, "--{} is missing", option);
  return arguments[option].as<std::string>();
}

/// The value of an option that is one of two words.
bool is_first(const cxxopts::ParseResult& arguments, const char* option, std::string_view first,
              std::string_view second) {
  const std::string& word = arguments[option].as<std::string>();
  if (word != first && word != second) {
    bev::fail(ErrorKind::usage, "--{} {}: expected {} or {}", option, word, first, second);
  }
  return word == first;
}

void convert(const cxxopts::ParseResult& arguments) {
  using namespace bev::motdp;
  ConvertOptions options;
  options.data = text_of(arguments, "data");
  options.images = text_of(arguments, "images");
  options.out = text_of(arguments, "out");
  options.mode = is_first(arguments, "mode", "tokens", "raster") ? Mode::tokens : Mode::raster;
  options.split = is_first(arguments, "split", "route", "given") ? Split::route : Split::given;
  options.val_fraction = arguments["val-fraction"].as<double>();
  options.seed = arguments["seed"].as<uint64_t>();
  options.vl = arguments.count("without-vl") == 0;
  options.horizon = arguments["horizon"].as<int64_t>();
  options.skip_bad = arguments.count("skip-bad") > 0;
  options.shard_bytes = arguments["shard-mib"].as<uint64_t>() << 20;
  options.threads = threads_of(arguments);
  const ConvertReport report = bev::motdp::convert(options, ProgressOnStderr("samples"), ProgressOnStderr("rows"));
  for (const std::string& problem : report.plan.skipped) fmt::print("skipped: {}\n", problem);
  for (const SplitPlan& split : report.plan.splits) {
    fmt::print("{}/{}: {} samples, {} frames\n", options.out, split.name, split.samples.size(), split.frames.size());
  }
  fmt::print("{} routes; {} samples skipped; {} shards written, {} of an earlier run kept\n", report.plan.routes.size(),
             report.plan.skipped.size(), report.shards_written, report.shards_kept);
  if (report.plan.shared_routes > 0) {
    fmt::print(
        "warning: {} routes are in both splits: validation will look better than it is; --split route avoids that\n",
        report.plan.shared_routes);
  }
}

void no_options(cxxopts::OptionAdder&) {}
void thread_option(cxxopts::OptionAdder& add) {
  add("threads", "files at a time; 0: as many as there are cores", cxxopts::value<int>()->default_value("0"));
}

void generate_options(cxxopts::OptionAdder& add) {
  const bev::world::GenerateOptions defaults;
  const auto number = [](auto value) {
    return cxxopts::value<decltype(value)>()->default_value(fmt::format("{}", value));
  };
  add("out", "directory to write to: train/, val/ and pictures/", cxxopts::value<std::string>());
  add("world", "kind of town: balanced or obstacle-rich",
      cxxopts::value<std::string>()->default_value(defaults.world.name));
  add("seed", "another seed is another town", number(defaults.seed));
  add("train-routes", "drives to train on", number(defaults.train_routes));
  add("val-routes", "other drives to validate on", number(defaults.val_routes));
  add("seconds", "of a drive", number(defaults.recording.seconds));
  add("raster", "pixels a side of the raster, a multiple of 32", number(defaults.recording.raster));
  add("pictures", "of validation samples, to look at", number(defaults.pictures));
  add("threads", "drives at a time; 0: as many as there are cores", number(0));
}

void convert_options(cxxopts::OptionAdder& add) {
  const bev::motdp::ConvertOptions defaults;
  const auto text = [](const char* value) { return cxxopts::value<std::string>()->default_value(value); };
  const auto number = [](auto value) {
    return cxxopts::value<decltype(value)>()->default_value(fmt::format("{}", value));
  };
  add("data", "the tree's samples: holds train/*.pkl and val/*.pkl", cxxopts::value<std::string>());
  add("images", "what the samples' paths are relative to", cxxopts::value<std::string>());
  add("out", "directory to write to: train/ and val/", cxxopts::value<std::string>());
  add("mode", "what is kept of a frame: tokens (precomputed) or raster", text("tokens"));
  add("split", "route: whole routes are drawn for validation; given: as the tree has it", text("route"));
  add("val-fraction", "of the routes", number(defaults.val_fraction));
  add("seed", "another seed draws other routes", number(defaults.seed));
  add("without-vl", "leave out vision-language tokens");
  add("horizon", "future waypoints to keep; 0: all", number(defaults.horizon));
  add("skip-bad", "leave out samples that are damaged or lack a file, and list them");
  add("shard-mib", "size of a shard", number(defaults.shard_bytes >> 20));
  add("threads", "files at a time; 0: as many as there are cores", number(0));
}

constexpr bev::Command commands[] = {
    {"convert", nullptr, "makes a data set of a MoT-DP tree; one that was interrupted goes on", convert_options,
     convert},
    {"generate", nullptr, "makes a data set: drives through a generated town", generate_options, generate},
    {"inspect", "DIR", "what is in a data set, or in the train/ and val/ of a directory", no_options, inspect},
    {"verify", "DIR", "compares every byte with the checksums and looks at every number", thread_option, verify},
};

}  // namespace

int main(int argc, char** argv) { return bev::run_commands("bev_data", commands, argc, argv); }
