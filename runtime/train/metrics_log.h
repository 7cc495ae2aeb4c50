// The run's numbers as JSON lines, one event a line, each with the number of optimiser steps done: a file that any tool
// reads, appended to as training goes on. A resumed run first takes back what lies behind the step it resumes from, and
// a last line that was torn.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "runtime/error.h"

namespace bev {

class MetricsLog {
 public:
  /// Opens PATH for appending after `steps_done` optimiser steps: lines of later steps, and what follows the first line
  /// that is none, are dropped. Throws Error(runtime) with the path and the system's reason.
  MetricsLog(const std::string& path, int64_t steps_done);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  /// Appends `event` at once. Numbers that are not finite become null. Throws Error(runtime) with path and reason.
  void write(const std::string& event, int64_t steps_done, const nlohmann::ordered_json& values);

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace bev
