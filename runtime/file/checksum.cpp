#include "runtime/file/checksum.h"

#include <zlib.h>

#include <algorithm>
#include <vector>

#include "runtime/file/random_access_file.h"

namespace bev {

uint32_t crc32_of(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

FileChecksum checksum_of_file(const std::string& path) {
  const RandomAccessFile file = RandomAccessFile::open(path, RandomAccessFile::Descriptor::held);
  std::vector<std::byte> piece(size_t{1} << 20);
  FileChecksum out{.bytes = file.size(), .crc32 = 0};
  for (uint64_t offset = 0; offset < file.size(); offset += piece.size()) {
    const size_t bytes = std::min<uint64_t>(piece.size(), file.size() - offset);
    file.read(offset, piece.data(), bytes);
    out.crc32 = static_cast<uint32_t>(::crc32_z(out.crc32, reinterpret_cast<const Bytef*>(piece.data()), bytes));
  }
  return out;
}

}  // namespace bev
