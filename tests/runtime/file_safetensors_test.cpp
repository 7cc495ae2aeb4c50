// Safetensors files: what is written is read back, and damaged or hostile files give one clear error each.
#include "runtime/file/safetensors.h"

#include <cstring>
#include <random>
#include <vector>

#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;

namespace {

template <class T>
Tensor tensor_of(const Shape& shape, const std::vector<T>& values) {
  auto memory = std::make_shared<std::vector<T>>(values);
  return Tensor(std::shared_ptr<void>(memory, memory->data()), shape, dtype_of<T>());
}

std::vector<NamedTensor> example() {
  return {{"bytes", tensor_of<uint8_t>({3}, {7, 8, 9})},
          {"floats", tensor_of<float>({2, 3}, {1, 2, 3, 4, 5, 6})},
          {"nothing", tensor_of<float>({0, 4}, {})},
          {"scalar", tensor_of<double>({}, {0.25})},
          {"numbers", tensor_of<int64_t>({2}, {-1, int64_t{1} << 40})},
          {"half", tensor_of<uint16_t>({2, 1}, {0x3F80, 0xC000})}};
}

/// A file with this header and so many bytes of data.
std::string with_header(const std::string& header, size_t data_bytes) {
  std::string file(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(file.data(), &size, 8);
  return file + header + std::string(data_bytes, '\1');
}

/// Opens the bytes as a file; every tensor is read to the last byte.
void open_and_read(const TemporaryFolder& folder, const std::string& bytes) {
  const std::string path = folder.file("x.safetensors");
  write_file(path, bytes);
  const SafetensorsFile file = SafetensorsFile::open(path);
  uint64_t sum = 0;
  for (const auto& entry : file.entries()) {
    const Tensor tensor = file.tensor(entry);
    CHECK(tensor.bytes() == entry.end - entry.begin);
    for (size_t i = 0; i < tensor.bytes(); ++i) sum += static_cast<const uint8_t*>(tensor.raw())[i];
  }
  CHECK(sum < uint64_t{256} * bytes.size());
}

}  // namespace

TEST_CASE("safetensors: what was written is read back") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.safetensors");
  const std::map<std::string, std::string> metadata = {{"kind", "test"}, {"text", "quote \" and \xC3\xA4"}};
  const auto tensors = example();
  write_safetensors(path, tensors, metadata);
  CHECK_FALSE(std::filesystem::exists(path + ".partial"));

  const SafetensorsFile file = SafetensorsFile::open(path);
  CHECK(file.metadata() == metadata);
  CHECK(file.entries().size() == tensors.size());
  for (const NamedTensor& tensor : tensors) {
    const Tensor read = file.tensor(tensor.name);
    CHECK(read.dtype() == tensor.value.dtype());
    CHECK(read.shape() == tensor.value.shape());
    CHECK(reinterpret_cast<uintptr_t>(read.raw()) % size_of(read.dtype()) == 0);
    CHECK((read.bytes() == 0 || std::memcmp(read.raw(), tensor.value.raw(), read.bytes()) == 0));
  }
  CHECK(file.find("missing") == nullptr);
  const std::string message = error_of(ErrorKind::data, [&] { file.tensor("missing"); });
  CHECK(contains(message, path));
  CHECK(contains(message, "missing"));

  const std::string bytes = read_file(path);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  CHECK((8 + header_bytes) % 64 == 0);
  write_safetensors(path, tensors, metadata);
  CHECK(read_file(path) == bytes);
}

TEST_CASE("safetensors: a tensor outlives the file object, and unaligned data is read") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.safetensors");
  std::string bytes = with_header(
      R"({"pad":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"x":{"dtype":"F32","shape":[2],"data_offsets":[3,11]}})",
      0);
  const float values[2] = {1.5f, -2.5f};
  bytes += "abc" + std::string(reinterpret_cast<const char*>(values), 8);
  write_file(path, bytes);
  const Tensor x = SafetensorsFile::open(path).tensor("x");
  CHECK(x.data<float>()[0] == 1.5f);
  CHECK(x.data<float>()[1] == -2.5f);
}

TEST_CASE("safetensors: a file without tensors") {
  const TemporaryFolder folder;
  write_safetensors(folder.file("a"), {}, {});
  CHECK(SafetensorsFile::open(folder.file("a")).entries().empty());
}

TEST_CASE("safetensors: bad files are refused with a reason") {
  const TemporaryFolder folder;
  const std::string x = R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  struct Row {
    std::string file, reason;
  };
  const std::vector<Row> rows = {
      {"", "too short"},
      {std::string(7, 'a'), "too short"},
      {std::string(8, '\xFF'), "a header of"},
      {with_header("{" + x + "}", 8).substr(0, 20), "truncated"},
      {with_header("{" + x + "}", 7), "truncated"},
      {with_header("{" + x + "}", 9), "9 follow the header"},
      {with_header("[]", 0), "brace"},
      {with_header("{" + x, 8), "not valid JSON"},
      {with_header("{" + x + "," + x + "}", 8), "occurs twice"},
      {with_header(R"({"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8), "occurs twice"},
      {with_header(R"({"x":[[[[]]]]})", 0), "nested deeper"},
      {with_header("{" + x + R"(,"y":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "begins at byte 4"},
      {with_header("{" + x + R"(,"y":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}})", 20), "begins at byte 12"},
      {with_header(R"({"x":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", 4), "\"F16\" is not known"},
      {with_header(R"({"x":{"dtype":3,"shape":[2],"data_offsets":[0,4]}})", 4), "is not known"},
      {with_header(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), "whole numbers"},
      {with_header(R"({"x":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8), "whole numbers"},
      {with_header(R"({"x":{"dtype":"F32","shape":[1,1,1,1,1,1,2],"data_offsets":[0,8]}})", 8), "at most 6 sizes"},
      {with_header(R"({"x":{"dtype":"F32","shape":[281474976710656,281474976710656],"data_offsets":[0,0]}})", 0),
       "more elements"},
      {with_header(R"({"x":{"dtype":"F64","shape":[281474976710656,8192],"data_offsets":[0,0]}})", 0), "needs"},
      {with_header(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "needs 12 bytes"},
      {with_header(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "do not lie within"},
      {with_header(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8), "two whole numbers"},
      {with_header(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,99999999999999999999999]}})", 8),
       "two whole numbers"},
      {with_header(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", 8), "expected an object"},
      {with_header(R"({"x":{"dtype":"F32","shape":[2]}})", 8), "expected an object"},
      {with_header(R"({"x":1e999})", 0), "not valid JSON"},
      {with_header("{\"\xFF\":1}", 0), "not valid JSON"},
      {with_header(R"({"__metadata__":{"a":1}})", 0), "must be a string"},
      {with_header(R"({"__metadata__":[]})", 0), "must be an object"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.file);
    const std::string message = error_of(ErrorKind::data, [&] { open_and_read(folder, row.file); });
    CHECK_MESSAGE(contains(message, row.reason), message);
    CHECK(contains(message, "x.safetensors"));
    CHECK(message.find('\n') == std::string::npos);
  }
  CHECK(contains(error_of(ErrorKind::data, [&] { SafetensorsFile::open(folder.file("none")); }), "cannot be opened"));
  CHECK(contains(error_of(ErrorKind::data, [&] { SafetensorsFile::open(folder.path().string()); }), "not a regular"));
}

TEST_CASE("safetensors: thousands of mutations of a valid file open or are refused") {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.safetensors");
  write_safetensors(path, example(), {{"kind", "fuzz"}});
  const std::string valid = read_file(path);
  const std::vector<std::string> pieces = {"{",
                                           "}",
                                           "[",
                                           "]",
                                           "\"",
                                           ",",
                                           ":",
                                           "-1",
                                           "0",
                                           "9",
                                           "1e9",
                                           "F32",
                                           "\"shape\"",
                                           "\"dtype\"",
                                           "null",
                                           "\\u0000",
                                           "[[",
                                           "{}",
                                           "18446744073709551615",
                                           "9223372036854775808"};
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, valid.data(), 8);
  std::mt19937_64 random(20251128);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const auto mutate = [&](std::string& bytes) {
    const size_t at = below(bytes.size());
    switch (below(6)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 2:
        bytes.erase(at, 1 + below(16));
        break;
      case 3:
        bytes.insert(at, pieces[below(pieces.size())]);
        break;
      case 4:
        bytes.insert(at, bytes.substr(below(bytes.size()), below(80)));
        break;
      default:
        bytes.resize(at);
    }
  };
  int opened = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string bytes = valid;
    if (below(3) == 0) {
      for (size_t edits = 1 + below(4); edits > 0 && !bytes.empty(); --edits) mutate(bytes);
    } else {  // the header alone, and its length fits: so that what the header says is put to the test
      std::string header = valid.substr(8, header_bytes);
      for (size_t edits = 1 + below(2); edits > 0 && !header.empty(); --edits) mutate(header);
      bytes = with_header(header, 0) + valid.substr(8 + header_bytes);
    }
    try {
      open_and_read(folder, bytes);
      ++opened;
    } catch (const Error& error) {
      REQUIRE(error.kind() == ErrorKind::data);
      ++refused;
    }
  }
  CHECK(opened > 100);  // mutations of data, padding and names
  CHECK(refused > 3000);
}
