#include "runtime/file/zip.h"

#include <algorithm>

#include "runtime/file/byte_reader.h"
#include "runtime/file/checksum.h"

namespace bev {

namespace {

constexpr uint32_t end_signature = 0x06054B50, end64_signature = 0x06064B50, locator_signature = 0x07064B50;
constexpr uint32_t directory_signature = 0x02014B50, local_signature = 0x04034B50;
constexpr size_t end_bytes = 22, locator_bytes = 20, longest_comment = 0xFFFF;
constexpr uint32_t in_extension = 0xFFFFFFFF;  // a number that stands in the 64-bit extension instead

struct Directory {
  uint64_t entries = 0, bytes = 0, offset = 0;
};

/// The end record lies at the end of the file, before a comment of unknown length.
size_t find_end(std::span<const std::byte> file, const std::string& path) {
  if (file.size() >= end_bytes) {
    const size_t last = file.size() - end_bytes, first = last - std::min(last, longest_comment);
    for (size_t at = last + 1; at-- > first;) {
      uint32_t signature = 0;
      std::memcpy(&signature, file.data() + at, 4);
      if (signature == end_signature) return at;
    }
  }
  fail(ErrorKind::data, "{}: is not a zip archive, or truncated: it has no end record", path);
}

Directory read_end64(ByteReader& reader, size_t end, Directory directory) {
  if (end < locator_bytes) return directory;
  reader.seek(end - locator_bytes);
  if (reader.number<uint32_t>() != locator_signature) return directory;
  reader.number<uint32_t>();  // disk
  reader.seek(reader.number<uint64_t>());
  if (reader.number<uint32_t>() != end64_signature) {
    fail(ErrorKind::data, "{}: the zip archive's 64-bit end record is not where it should be", reader.where());
  }
  reader.bytes(8 + 2 + 2 + 4 + 4 + 8);  // its size, two versions, two disks, entries of this disk
  directory.entries = reader.number<uint64_t>();
  directory.bytes = reader.number<uint64_t>();
  directory.offset = reader.number<uint64_t>();
  return directory;
}

Directory read_end(ByteReader& reader, size_t end) {
  reader.seek(end + 4);
  const uint16_t disk = reader.number<uint16_t>(), first_disk = reader.number<uint16_t>();
  if (disk != 0 || first_disk != 0)
    fail(ErrorKind::data, "{}: the zip archive is one of several disks", reader.where());
  reader.number<uint16_t>();  // entries of this disk
  Directory directory;
  directory.entries = reader.number<uint16_t>();
  directory.bytes = reader.number<uint32_t>();
  directory.offset = reader.number<uint32_t>();
  return read_end64(reader, end, directory);
}

/// Takes from the 64-bit extension the numbers that did not fit, in their fixed order.
void read_extension(std::span<const std::byte> extra, const std::string& where, uint64_t& bytes, uint64_t& packed,
                    uint64_t& offset) {
  ByteReader reader(extra, where);
  while (reader.remaining() >= 4) {
    const uint16_t kind = reader.number<uint16_t>(), size = reader.number<uint16_t>();
    ByteReader field(reader.bytes(size), where);
    if (kind != 1) continue;
    for (uint64_t* number : {&bytes, &packed, &offset}) {
      if (*number == in_extension) *number = field.number<uint64_t>();
    }
    return;
  }
}

ZipArchive::Entry read_entry(ByteReader& reader, std::span<const std::byte> file) {
  const std::string& path = reader.where();
  if (reader.number<uint32_t>() != directory_signature) {
    fail(ErrorKind::data, "{}: the zip archive's directory is damaged", path);
  }
  reader.bytes(4);  // two versions
  const uint16_t flags = reader.number<uint16_t>(), method = reader.number<uint16_t>();
  reader.bytes(4);  // time and date
  ZipArchive::Entry entry;
  entry.crc32 = reader.number<uint32_t>();
  uint64_t packed = reader.number<uint32_t>(), bytes = reader.number<uint32_t>();
  const uint16_t name = reader.number<uint16_t>(), extra = reader.number<uint16_t>(),
                 comment = reader.number<uint16_t>();
  reader.bytes(2 + 2 + 4);  // disk, two kinds of attributes
  uint64_t offset = reader.number<uint32_t>();
  entry.name = reader.text(name);
  const std::string where = fmt::format("{}: entry {}", path, entry.name);
  read_extension(reader.bytes(extra), where, bytes, packed, offset);
  reader.bytes(comment);

  if ((flags & 1) != 0) fail(ErrorKind::data, "{}: is encrypted", where);
  if (method != 0 || packed != bytes) {
    fail(ErrorKind::data, "{}: is compressed; expected entries stored as they are, as torch.save writes them", where);
  }
  ByteReader local(file, where);
  local.seek(offset);
  if (local.number<uint32_t>() != local_signature) fail(ErrorKind::data, "{}: does not begin where it should", where);
  local.bytes(22);  // what the directory says too
  const uint16_t local_name = local.number<uint16_t>(), local_extra = local.number<uint16_t>();
  local.bytes(uint64_t{local_name} + local_extra);
  entry.bytes = local.bytes(bytes);
  return entry;
}

}  // namespace

ZipArchive ZipArchive::open(const std::string& path) {
  ZipArchive archive;
  archive.path_ = path;
  archive.file_ = MappedFile::open(path);
  const auto file = archive.file_.bytes();
  ByteReader reader(file, path);
  const Directory directory = read_end(reader, find_end(file, path));
  reader.seek(directory.offset);
  ByteReader entries(reader.bytes(directory.bytes), path);
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    archive.entries_.push_back(read_entry(entries, file));
    bytes += archive.entries_.back().bytes.size();
    // A small file must not pass for a large one.
    if (bytes > file.size()) fail(ErrorKind::data, "{}: the zip archive's entries overlap", path);
  }
  if (entries.remaining() != 0)
    fail(ErrorKind::data, "{}: the zip archive's directory has more entries than said", path);
  std::sort(archive.entries_.begin(), archive.entries_.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(archive.entries_.begin(), archive.entries_.end(),
                                        [](const Entry& a, const Entry& b) { return a.name == b.name; });
  if (twice != archive.entries_.end()) fail(ErrorKind::data, "{}: entry {} is there twice", path, twice->name);
  return archive;
}

const ZipArchive::Entry* ZipArchive::find(std::string_view name) const {
  const auto it = std::lower_bound(entries_.begin(), entries_.end(), name,
                                   [](const Entry& entry, std::string_view wanted) { return entry.name < wanted; });
  return it != entries_.end() && it->name == name ? &*it : nullptr;
}

const ZipArchive::Entry& ZipArchive::at(std::string_view name) const {
  const Entry* const entry = find(name);
  if (!entry) fail(ErrorKind::data, "{}: has no entry {}", path_, name);
  const uint32_t found = crc32_of(entry->bytes);
  if (found != entry->crc32) {
    fail(ErrorKind::data, "{}: entry {} has the checksum {:08x}, expected {:08x}: damaged", path_, name, found,
         entry->crc32);
  }
  return *entry;
}

}  // namespace bev
