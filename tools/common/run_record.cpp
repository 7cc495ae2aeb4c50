#include "tools/common/run_record.h"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/file/atomic_file.h"

namespace bev {

namespace {

std::string now_utc() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

nlohmann::ordered_json describe(const Dataset& dataset) {
  return {{"directory", dataset.directory()}, {"samples", dataset.size()}, {"fingerprint", dataset.fingerprint()}};
}

}  // namespace

void write_run_record(const std::string& folder, const ConfiguredRun& run, const TrainingRun& training,
                      const TrainingRequest& request) {
  const PolicyConfig& policy = run.config.policy;
  const nlohmann::ordered_json record = {
      {"name", run.config.run_name},
      {"started", now_utc()},
      {"resumed_from", request.resume},
      {"devices", request.devices.text()},
      {"micro_batch", training.micro_batch()},
      {"global_batch", training.global_batch()},
      {"learning_rate", training.learning_rate()},
      {"training_set", describe(training.training_set())},
      {"validation_set", describe(training.validation_set())},
      {"action_range", {{"min", policy.action_min}, {"max", policy.action_max}}},
      {"state_statistics", {{"mean", policy.state_mean}, {"deviation", policy.state_deviation}}},
      {"keys_without_meaning_here", run.settings.legacy_values()},
      {"configuration", run.settings.print()}};
  std::filesystem::create_directories(folder);
  write_text_file(folder + "/run.json", record.dump(2) + "\n");
}

}  // namespace bev
