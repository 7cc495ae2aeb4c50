#include "runtime/train/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace bev {

namespace {

/// Bytes at the start of the file that hold whole lines of steps up to `steps_done`.
off_t bytes_to_keep(const std::string& path, int64_t steps_done) {
  std::ifstream in(path, std::ios::binary);
  off_t keep = 0;
  std::string line;
  while (std::getline(in, line) && !in.eof()) {  // a line without its end was torn
    const auto value = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!value.is_object() || !value.contains("step") || !value["step"].is_number_integer()) break;
    if (value["step"].get<int64_t>() > steps_done) break;
    keep += static_cast<off_t>(line.size()) + 1;
  }
  return keep;
}

}  // namespace

MetricsLog::MetricsLog(const std::string& path, int64_t steps_done) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(ErrorKind::runtime, "{}: cannot be opened: {}", path, std::strerror(errno));
  const off_t keep = bytes_to_keep(path, steps_done);
  if (::ftruncate(descriptor_, keep) != 0 || ::lseek(descriptor_, keep, SEEK_SET) != keep) {
    const int reason = errno;
    ::close(descriptor_);
    fail(ErrorKind::runtime, "{}: cannot be shortened to step {}: {}", path, steps_done, std::strerror(reason));
  }
}

MetricsLog::~MetricsLog() { ::close(descriptor_); }

void MetricsLog::write(const std::string& event, int64_t steps_done, const nlohmann::ordered_json& values) {
  nlohmann::ordered_json line{{"event", event}, {"step", steps_done}};
  line.update(values);
  const std::string text = line.dump() + "\n";
  const char* next = text.data();
  size_t left = text.size();
  while (left > 0) {
    const ssize_t written = ::write(descriptor_, next, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(ErrorKind::runtime, "{}: cannot be written: {}", path_, std::strerror(errno));
    next += written;
    left -= static_cast<size_t>(written);
  }
}

}  // namespace bev
