// A short training run in a folder, and what is found there afterwards.
#pragma once

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

namespace bev::test {

inline TinyRun tiny(const TemporaryFolder& folder, int64_t epochs) {
  TinyRun run;
  run.trainer.folder = folder.file("run");
  run.trainer.epochs = epochs;
  run.trainer.schedule = {.kind = ScheduleKind::cosine, .peak = 1e-2, .last = 1e-3, .warmup_steps = 3};
  run.trainer.log_steps = 2;
  run.trainer.configuration = "a: 1\n";
  return run;
}

inline std::vector<nlohmann::json> lines_of(const std::string& path, const std::string& event) {
  std::istringstream in(read_file(path));
  std::vector<nlohmann::json> out;
  for (std::string line; std::getline(in, line);) {
    auto value = nlohmann::json::parse(line);
    if (value["event"] == event) out.push_back(std::move(value));
  }
  return out;
}

inline std::vector<std::string> checkpoints_in(const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace bev::test
