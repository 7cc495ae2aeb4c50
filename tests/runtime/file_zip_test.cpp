// Stored zip archives, made here byte by byte: what torch's own files do not show, and what no archive may say.
#include "runtime/file/zip.h"

#include <cstring>

#include "runtime/file/checksum.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;

namespace {

/// Appends a little-endian number of that many bytes; those beyond the eighth are zero.
void put(std::string& out, uint64_t number, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out += i < 8 ? static_cast<char>(number >> (8 * i)) : '\0';
}

struct Part {
  std::string name, content;
  uint16_t flags = 0, method = 0;
  bool wide = false;         // sizes and offset in the 64-bit extension
  int64_t offset_error = 0;  // of the offset in the directory
  uint32_t crc_error = 0;
};

uint32_t crc_of(const std::string& text) {
  return crc32_of({reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

/// An archive of the parts; `entries_error` is added to the number of entries that the end record gives.
std::string archive_of(const std::vector<Part>& parts, int entries_error = 0, const std::string& comment = {}) {
  std::string file, directory;
  for (const Part& part : parts) {
    const uint64_t offset = file.size() + static_cast<uint64_t>(part.offset_error), size = part.content.size();
    const uint32_t crc = crc_of(part.content) + part.crc_error;
    std::string extension;
    if (part.wide) {
      put(extension, 0x4242, 2);  // some other field first
      put(extension, 3, 2);
      extension += "abc";
      put(extension, 1, 2);
      put(extension, 24, 2);
      for (const uint64_t number : {size, size, offset}) put(extension, number, 8);
    }
    put(file, 0x04034B50, 4);
    put(file, 0, 22);
    put(file, part.name.size(), 2);
    put(file, 5, 2);  // local extra field, as torch's padding
    file += part.name + "extra" + part.content;

    put(directory, 0x02014B50, 4);
    put(directory, 0, 4);
    put(directory, part.flags, 2);
    put(directory, part.method, 2);
    put(directory, 0, 4);
    put(directory, crc, 4);
    put(directory, part.wide ? 0xFFFFFFFF : size, 4);
    put(directory, part.wide ? 0xFFFFFFFF : size, 4);
    put(directory, part.name.size(), 2);
    put(directory, extension.size(), 2);
    put(directory, 0, 2);
    put(directory, 0, 8);
    put(directory, part.wide ? 0xFFFFFFFF : offset, 4);
    directory += part.name + extension;
  }
  const size_t at = file.size();
  file += directory;
  put(file, 0x06054B50, 4);
  put(file, 0, 4);
  put(file, parts.size(), 2);
  put(file, parts.size() + static_cast<size_t>(entries_error), 2);
  put(file, directory.size(), 4);
  put(file, at, 4);
  put(file, comment.size(), 2);
  return file + comment;
}

}  // namespace

TEST_CASE("zip: entries by name, with a comment behind and with 64-bit numbers") {
  const TemporaryFolder folder;
  write_file(folder.file("a.zip"), archive_of({{.name = "z", .content = "last"},
                                               {.name = "a/b", .content = "wide", .wide = true},
                                               {.name = "nothing", .content = ""}},
                                              0, "a comment"));
  const ZipArchive archive = ZipArchive::open(folder.file("a.zip"));
  REQUIRE(archive.entries().size() == 3);
  CHECK(archive.entries()[0].name == "a/b");
  const auto text = [&](const char* name) {
    const auto bytes = archive.at(name).bytes;
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  CHECK(text("z") == "last");
  CHECK(text("a/b") == "wide");
  CHECK(text("nothing").empty());
  CHECK(archive.find("b") == nullptr);
  CHECK(contains(error_of(ErrorKind::data, [&] { archive.at("b"); }), "has no entry b"));
}

TEST_CASE("zip: what no archive may say is refused") {
  const TemporaryFolder folder;
  const Part good{.name = "good", .content = "content"};
  const auto refusal = [&](const std::string& bytes) {
    write_file(folder.file("a.zip"), bytes);
    return error_of(ErrorKind::data, [&] { ZipArchive::open(folder.file("a.zip")).at("good"); });
  };
  CHECK(contains(refusal(archive_of({good, good})), "is there twice"));
  CHECK(contains(refusal(archive_of({{.name = "x", .content = "y", .flags = 1}})), "is encrypted"));
  CHECK(contains(refusal(archive_of({{.name = "x", .content = "y", .method = 8}})), "is compressed"));
  CHECK(contains(refusal(archive_of({{.name = "x", .content = "y", .offset_error = 1}})), "does not begin"));
  CHECK(contains(refusal(archive_of({{.name = "x", .content = "y", .offset_error = 1000}})), "truncated"));
  CHECK(contains(refusal(archive_of({{.name = "good", .content = "y", .crc_error = 1}})), "damaged"));
  CHECK(contains(refusal(archive_of({good}, 1)), "truncated"));
  CHECK(contains(refusal(archive_of({good, {.name = "x", .content = "y"}}, -1)), "more entries than said"));
  CHECK(contains(refusal("no archive at all"), "no end record"));
  // Nine entries that are one and the same megabyte.
  const std::string bytes = archive_of({{.name = "0", .content = std::string(1 << 20, 'x')}});
  const size_t begin = bytes.find(std::string("PK\1\2")), end = bytes.find(std::string("PK\5\6"));
  std::string directory;
  for (char name = '0'; name < '9'; ++name) {
    directory += bytes.substr(begin, end - begin);
    directory.back() = name;
  }
  std::string tail = bytes.substr(end);
  const uint16_t count = 9;
  const uint32_t size = static_cast<uint32_t>(directory.size());
  std::memcpy(tail.data() + 10, &count, 2);
  std::memcpy(tail.data() + 12, &size, 4);
  CHECK(contains(refusal(bytes.substr(0, begin) + directory + tail), "overlap"));
}
