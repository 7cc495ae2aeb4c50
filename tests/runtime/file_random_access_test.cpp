// Files read in pieces while something happens to them: an Error with the file's name, never a signal.
#include "runtime/file/random_access_file.h"

#include <vector>

#include "runtime/file/checksum.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;

namespace {

using Descriptor = RandomAccessFile::Descriptor;

constexpr size_t size = 3 * 4096 + 100;

std::string numbered_bytes() {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 7 + i / 256);
  return out;
}

std::string read(const RandomAccessFile& file, uint64_t offset, size_t bytes) {
  std::string out(bytes, '\0');
  file.read(offset, out.data(), bytes);
  return out;
}

}  // namespace

TEST_CASE("random access file: pieces from anywhere") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a"), bytes = numbered_bytes();
  write_file(path, bytes);
  for (const Descriptor descriptor : {Descriptor::held, Descriptor::for_each_call}) {
    const RandomAccessFile file = RandomAccessFile::open(path, descriptor), copy = file;
    CHECK(file.size() == size);
    CHECK(file.path() == path);
    file.will_need(4096, 5000);
    for (const auto& [offset, count] : {std::pair<size_t, size_t>{0, size}, {4095, 2}, {size - 1, 1}, {size, 0}}) {
      CHECK(read(copy, offset, count) == bytes.substr(offset, count));
    }
  }
  CHECK(checksum_of_file(path).bytes == size);
  CHECK(checksum_of_file(path).crc32 == crc32_of(std::as_bytes(std::span(bytes))));
  CHECK(contains(error_of(ErrorKind::data, [&] { RandomAccessFile::open(folder.file("b"), Descriptor::held); }),
                 "b: cannot be opened: No such file"));
  CHECK(contains(
      error_of(ErrorKind::data, [&] { RandomAccessFile::open(folder.path().string(), Descriptor::for_each_call); }),
      "not a regular file"));
}

TEST_CASE("random access file: cut off, replaced or gone while it is in use") {
  for (const Descriptor descriptor : {Descriptor::held, Descriptor::for_each_call}) {
    const bool held = descriptor == Descriptor::held;
    CAPTURE(held);
    const TemporaryFolder folder;
    const std::string path = folder.file("a"), bytes = numbered_bytes();
    write_file(path, bytes);
    const RandomAccessFile file = RandomAccessFile::open(path, descriptor);
    std::filesystem::resize_file(path, 5000);
    CHECK(read(file, 0, 5000) == bytes.substr(0, 5000));
    for (const auto& [offset, count] : {std::pair<size_t, size_t>{4999, 2}, {8192, 10}, {0, size}}) {
      CHECK(error_of(ErrorKind::data, [&] { read(file, offset, count); }) ==
            fmt::format("{}: has 5000 bytes, expected {} as when it was opened: truncated while in use", path, size));
    }
    file.will_need(8192, 100);

    write_file(folder.file("b"), std::string(size, 'b'));
    std::filesystem::rename(folder.file("b"), path);
    if (held) {
      CHECK(read(file, 10, 20) == bytes.substr(10, 20));  // of the file that was opened
      continue;
    }
    CHECK(contains(error_of(ErrorKind::data, [&] { read(file, 10, 20); }), path + ": is another file"));
    std::filesystem::remove(path);
    CHECK(contains(error_of(ErrorKind::data, [&] { read(file, 10, 20); }),
                   path + ": cannot be opened any more: No such"));
    file.will_need(0, 100);
  }
}
