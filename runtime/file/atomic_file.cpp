#include "runtime/file/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace bev {

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {
  descriptor_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(ErrorKind::runtime, "{}: cannot be created: {}", partial_, std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(partial_.c_str());
}

void AtomicFile::write(const void* data, size_t bytes) {
  constexpr size_t most = size_t{1} << 30;  // one call writes less than 2 GiB
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, std::min(bytes, most));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(ErrorKind::runtime, "{}: cannot be written: {}", path_, std::strerror(errno));
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) {
    fail(ErrorKind::runtime, "{}: cannot be flushed to disk: {}", path_, std::strerror(errno));
  }
  if (::rename(partial_.c_str(), path_.c_str()) != 0) {
    fail(ErrorKind::runtime, "{}: cannot be put in place of an older file: {}", path_, std::strerror(errno));
  }
  ::close(std::exchange(descriptor_, -1));
  flush_directory(std::filesystem::path(path_).parent_path().string());
}

void write_text_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

void flush_directory(const std::string& path) {
  const char* const name = path.empty() ? "." : path.c_str();
  const int directory = ::open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) fail(ErrorKind::runtime, "{}: cannot be opened: {}", name, std::strerror(errno));
  const int failure = ::fsync(directory) == 0 ? 0 : errno;
  ::close(directory);
  // Some network file systems cannot flush a directory, and say so with EINVAL.
  if (failure != 0 && failure != EINVAL) {
    fail(ErrorKind::runtime, "{}: cannot be flushed to disk: {}", name, std::strerror(failure));
  }
}

}  // namespace bev
