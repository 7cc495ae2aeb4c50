// bev_data: makes data sets and looks into them. A command is a function of its own arguments and a line of the table
// below; the work itself is in data/.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cxxopts.hpp>
#include <string>
#include <string_view>
#include <thread>

#include "data/inspect.h"
#include "data/verify.h"
#include "data/world/generate.h"

namespace {

using bev::ErrorKind;

/// Throws Error: its kind is the exit status.
using Run = void (*)(const cxxopts::ParseResult&);

int threads_of(const cxxopts::ParseResult& arguments) {
  const int threads = arguments["threads"].as<int>();
  if (threads < 0) bev::fail(ErrorKind::usage, "--threads {}: expected a positive number, or 0 for all", threads);
  return threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

/// One line on a terminal that grows; on anything else a line for every tenth part.
bev::ProgressCallback progress_on_stderr(std::string what) {
  return [what = std::move(what), last = int64_t{-1}, terminal = ::isatty(STDERR_FILENO) == 1](int64_t done,
                                                                                               int64_t total) mutable {
    const int64_t tenth = 10 * done / total;
    if (terminal) {
      fmt::print(stderr, "\r{} {}/{}{}", what, done, total, done == total ? "\n" : "");
    } else if (tenth != last) {
      fmt::print(stderr, "{} {}/{}\n", what, done, total);
    }
    last = tenth;
  };
}

const std::string& directory_of(const cxxopts::ParseResult& arguments) {
  if (arguments.count("directory") == 0) bev::fail(ErrorKind::usage, "which data set? give its directory");
  return arguments["directory"].as<std::string>();
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
    const auto result = bev::verify_dataset(*dataset, threads_of(arguments), progress_on_stderr(split));
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
  const auto report = bev::world::generate(options, progress_on_stderr("routes"));
  fmt::print("{0}/train: {1} samples, {2} frames; {0}/val: {3} samples, {4} frames\n{5}", options.directory,
             report.train_samples, report.train_frames, report.val_samples, report.val_frames,
             bev::world::describe(report.figures));
}

struct Command {
  const char* name;
  const char* positional;  // its help text; null: the command takes none
  const char* summary;
  void (*options)(cxxopts::OptionAdder&);
  Run run;
};

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

constexpr Command commands[] = {
    {"generate", nullptr, "makes a data set: drives through a generated town", generate_options, generate},
    {"inspect", "DIR", "what is in a data set, or in the train/ and val/ of a directory", no_options, inspect},
    {"verify", "DIR", "compares every byte with the checksums and looks at every number", thread_option, verify},
};

std::string usage() {
  std::string text = "usage: bev_data COMMAND [options]     (bev_data COMMAND --help for its options)\n";
  for (const Command& command : commands) text += fmt::format("  {:<10} {}\n", command.name, command.summary);
  return text;
}

void run(const Command& command, int argc, char** argv) {
  cxxopts::Options options(fmt::format("bev_data {}", command.name), command.summary);
  auto add = options.add_options();
  add("h,help", "this text");
  command.options(add);
  if (command.positional) {
    add("directory", command.positional, cxxopts::value<std::string>());
    options.parse_positional("directory");
    options.positional_help(command.positional);
  }
  const cxxopts::ParseResult arguments = [&] {
    try {
      return options.parse(argc, argv);
    } catch (const std::exception& error) {  // the library's own type has had several names
      bev::fail(ErrorKind::usage, "{}: {}", command.name, error.what());
    }
  }();
  if (arguments.count("help") > 0) {
    fmt::print("{}", options.help());
    return;
  }
  if (!arguments.unmatched().empty()) {
    bev::fail(ErrorKind::usage, "{}: \"{}\" is one argument too many", command.name, arguments.unmatched()[0]);
  }
  command.run(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string_view name = argc > 1 ? argv[1] : "";
    if (name == "-h" || name == "--help") {
      fmt::print("{}", usage());
      return 0;
    }
    for (const Command& command : commands) {
      if (name != command.name) continue;
      run(command, argc - 1, argv + 1);
      return 0;
    }
    fmt::print(stderr, "{}", usage());
    return static_cast<int>(ErrorKind::usage);
  } catch (const bev::Error& error) {
    fmt::print(stderr, "bev_data: {}\n", error.what());
    return error.exit_status();
  } catch (const std::exception& error) {
    fmt::print(stderr, "bev_data: {}\n", error.what());
    return static_cast<int>(ErrorKind::runtime);
  }
}
