// Checksums of whole files, against bytes that rot or were cut off: CRC-32 as in zip and PNG (not against malice).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace bev {

uint32_t crc32_of(std::span<const std::byte> bytes);

struct FileChecksum {
  uint64_t bytes = 0;
  uint32_t crc32 = 0;
  bool operator==(const FileChecksum&) const = default;
};

/// Reads the whole file. Throws Error(ErrorKind::data) naming it if it cannot be read.
FileChecksum checksum_of_file(const std::string& path);

}  // namespace bev
