// bev_train: trains the policy. See --help, and configs/README.md for the keys.
#include <csignal>
#include <cxxopts.hpp>
#include <filesystem>

#include "tools/common/arguments.h"
#include "tools/common/exit_status.h"
#include "tools/common/progress_printer.h"
#include "tools/common/run_record.h"
#include "tools/common/training_run.h"
#include "tools/common/validation_pictures.h"

namespace {

using namespace bev;

// A signal handler is handed nothing but the signal: this is how it finds the run.
StopRequest* stop_on_signal = nullptr;

void ask_to_stop(int signal) {
  if (stop_on_signal) stop_on_signal->ask();
  std::signal(signal, SIG_DFL);  // a second one ends the process at once
}

cxxopts::ParseResult parse(int argc, char** argv, cxxopts::Options& options) {
  options.add_options()("config", "YAML file; --print-config shows every key", cxxopts::value<std::string>())(
      "gpus", "GPUs to train on: 0-7, 0,2,5 or all", cxxopts::value<std::string>()->default_value(""))(
      "device", "cpu or cuda:N, instead of --gpus", cxxopts::value<std::string>()->default_value(""))(
      "replicas", "replicas on the CPU, a thread each", cxxopts::value<int>()->default_value("0"))(
      "set", "override a key: a.b=c; may be repeated", cxxopts::value<std::vector<std::string>>())(
      "resume", "auto: where the run in training.checkpoint_dir stopped; or a checkpoint's directory",
      cxxopts::value<std::string>()->default_value(""))("max-steps", "end after so many optimiser steps in all",
                                                        cxxopts::value<int64_t>()->default_value("0"))(
      "profile", "at the end: the parts of a step, and the share of communication hidden behind backward")(
      "print-config", "print the resolved configuration and end")("help", "this text");
  try {
    return options.parse(argc, argv);
  } catch (const std::exception& error) {  // the library's own type has had several names
    fail(ErrorKind::usage, "{}; --help lists the options", error.what());
  }
}

/// The checkpoint to go on from, or "".
std::string checkpoint_to_resume(const std::string& wish, const std::string& folder, ProgressPrinter& printer) {
  const auto note = [&](const std::string& text) { printer.line(text); };
  if (wish.empty()) {
    if (!CheckpointFolder::newest_valid(folder, [](const std::string&) {}).empty()) {
      fail(ErrorKind::usage,
           "{} holds the checkpoints of a run: --resume auto goes on with it, or give another "
           "training.checkpoint_dir",
           folder);
    }
    return "";
  }
  if (wish == "auto") {
    const std::string found = CheckpointFolder::newest_valid(folder, note);
    printer.line(found.empty() ? fmt::format("{} holds no checkpoint: starting afresh", folder) : "resuming " + found);
    return found;
  }
  if (std::filesystem::exists(wish + "/state.json")) return wish;
  const std::string newest = CheckpointFolder::newest_valid(wish, note);
  if (newest.empty()) fail(ErrorKind::data, "--resume {}: no checkpoint there", wish);
  return newest;
}

int train(const cxxopts::ParseResult& arguments) {
  const auto run =
      load_run(arguments.count("config") ? arguments["config"].as<std::string>() : "", values_of(arguments, "set"));
  if (arguments.count("print-config")) {
    fmt::print("{}", run->settings.print());
    return 0;
  }
  ProgressPrinter printer;
  const auto note = [&](const std::string& text) { printer.line(text); };
  for (const std::string& translated : run->settings.notes()) note("note: " + translated);

  TrainingRequest request;
  request.devices = choose_devices({.gpus = arguments["gpus"].as<std::string>(),
                                    .device = arguments["device"].as<std::string>(),
                                    .replicas = arguments["replicas"].as<int>()},
                                   run->config.gpu_ids, note);
  request.max_steps = arguments["max-steps"].as<int64_t>();
  request.profile = arguments.count("profile") > 0;
  const std::string folder = run->config.training.checkpoint_dir;
  request.resume = checkpoint_to_resume(arguments["resume"].as<std::string>(), folder, printer);

  TrainingRun training(*run, request);
  const RunConfig& config = run->config;
  note(fmt::format("{} training and {} validation samples; {} samples a step on {} in {} ({} x {} micro-steps)",
                   training.training_set().size(), training.validation_set().size(), training.global_batch(),
                   request.devices.text(), name_of(precision_on(request.devices, config.runtime)),
                   training.micro_batch(), config.training.accumulation));
  note(describe_rate(config.rate_scaling, request.devices.replicas(), config.learning_rate));
  write_run_record(folder, *run, training, request);

  StopRequest stop;
  stop_on_signal = &stop;
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, ask_to_stop);
  ValidationPictures pictures(training.validation_set_handle(), config.training.pictures,
                              1.0 / request.devices.replicas(), folder);
  TrainerHooks hooks;
  hooks.progress = [&](const Progress& progress) { printer.progress(progress); };
  hooks.validated = [&](const ValidationReport& report) {
    printer.line(describe(report));
    pictures.draw(report);
  };
  hooks.saved = [&](const std::string& checkpoint) { printer.line("saved " + checkpoint); };
  hooks.note = note;
  const TrainingOutcome outcome =
      training.run(stop, hooks, [&](std::span<const int64_t> samples, std::span<const double> trajectories) {
        pictures.observe(samples, trajectories);
      });
  stop_on_signal = nullptr;
  const char* end = outcome.end == TrainingOutcome::End::complete ? "done"
                    : outcome.end == TrainingOutcome::End::early  ? "stopped early: no better validation for a while"
                                                                  : "stopped as asked; --resume auto goes on";
  printer.line(
      fmt::format("{} after step {}; {} holds checkpoints, metrics and pictures", end, outcome.state.step, folder));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  cxxopts::Options options("bev_train", "Trains the BEV diffusion driving policy.");
  return exit_status_of("bev_train", [&] {
    try {
      const auto arguments = parse(argc, argv, options);
      if (arguments.count("help") == 0) return train(arguments);
      fmt::print("{}", options.help());
      return 0;
    } catch (const OutOfMemory& error) {
      fmt::print(stderr, "bev_train: out of memory: {}\n{}", error.what(), error.table());
      return error.exit_status();
    }
  });
}
