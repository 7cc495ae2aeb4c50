// A file that appears whole or not at all: written beside its place as PATH.partial, flushed to disk, renamed, and the
// rename itself flushed. Whatever stops the program in between, PATH is the old file or the new one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "runtime/error.h"

namespace bev {

class AtomicFile {
 public:
  /// Creates PATH.partial, replacing one that an interrupted run left. All functions throw Error(ErrorKind::runtime)
  /// with the path and the system's reason; then the partial file goes with this object and PATH is as it was.
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  /// Puts the file in its place. Called once, last; without it the file is dropped.
  void commit();

 private:
  std::string path_, partial_;
  int descriptor_ = -1;
};

/// The whole of a small text file, as above.
void write_text_file(const std::string& path, std::string_view text);

/// Flushes a directory to disk, so that the names in it survive a loss of power.
void flush_directory(const std::string& path);

}  // namespace bev
