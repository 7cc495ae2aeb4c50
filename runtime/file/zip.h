// Reads zip archives whose entries are stored as they are, which is what torch.save writes (PKWARE APPNOTE 6.3, with
// the 64-bit extension). Strict and bounded: whatever the bytes are, the answer is an archive or one Error.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/file/mapped_file.h"

namespace bev {

class ZipArchive {
 public:
  struct Entry {
    std::string name;
    std::span<const std::byte> bytes;  // in mapped memory, as long as the archive or a copy of file() lives
    uint32_t crc32 = 0;
  };

  /// Throws Error(ErrorKind::data) naming the file and what is wrong: no archive, truncated, an entry compressed or
  /// encrypted or outside of the file, a name twice, several disks.
  static ZipArchive open(const std::string& path);

  const std::string& path() const { return path_; }
  const MappedFile& file() const { return file_; }
  const std::vector<Entry>& entries() const { return entries_; }
  /// Null if there is none of that name.
  const Entry* find(std::string_view name) const;
  /// The entry, its bytes compared with their checksum. Throws Error naming file and entry if it is missing or damaged.
  const Entry& at(std::string_view name) const;

 private:
  std::string path_;
  MappedFile file_;
  std::vector<Entry> entries_;  // sorted by name
};

}  // namespace bev
