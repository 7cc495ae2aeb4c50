#include "runtime/file/checksum.h"

#include <zlib.h>

#include "runtime/file/mapped_file.h"

namespace bev {

uint32_t crc32_of(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

FileChecksum checksum_of_file(const std::string& path) {
  const MappedFile file = MappedFile::open(path);
  return {.bytes = file.size, .crc32 = crc32_of(file.bytes())};
}

}  // namespace bev
