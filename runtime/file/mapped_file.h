// A file's bytes as read-only memory. The mapping needs no open descriptor, so a data set may have thousands of shards.
// Whoever shortens a mapped file while the program reads it stops the program (SIGBUS): files are replaced by renaming,
// and what is read for as long as training goes on is not mapped (random_access_file.h).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "runtime/error.h"

namespace bev {

struct MappedFile {
  std::shared_ptr<const std::byte> memory;  // shared by copies, unmapped with the last
  size_t size = 0;

  std::span<const std::byte> bytes() const { return {memory.get(), size}; }

  /// Throws Error(kind) with the file's name and the system's reason; an empty file has a null memory.
  static MappedFile open(const std::string& path, ErrorKind kind = ErrorKind::data);
};

}  // namespace bev
