// Files of torch.save: what PyTorch wrote is read, nothing is run, and damaged or hostile files give one clear error
// each.
#include "runtime/file/torch_file.h"

#include <cstring>
#include <random>

#include "runtime/file/pickle.h"
#include "runtime/file/zip.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;
using namespace std::string_literals;  // "..."s keeps zero bytes

namespace {

const std::string files = "tests/runtime/files/";

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

template <class T>
void check_values(const Tensor& tensor, const Shape& shape, const std::vector<T>& expected) {
  CHECK(tensor.shape() == shape);
  REQUIRE(tensor.size() == static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) CHECK(tensor.data<T>()[i] == expected[i]);
}

}  // namespace

TEST_CASE("torch file: one tensor") {
  const auto tensors = read_torch_file(files + "one_tensor.pt");
  REQUIRE(tensors.size() == 1);
  CHECK(tensors[0].name.empty());
  check_values<float>(tensors[0].value, {3, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("torch file: what newer versions add is no hindrance") {
  const auto tensors = read_torch_file(files + "newer.pt");
  REQUIRE(tensors.size() == 1);
  check_values<float>(tensors[0].value, {3, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("torch file: tensors in nested dicts, of all types, transposed and cut") {
  const auto tensors = read_torch_file(files + "many_tensors.pt");
  std::map<std::string, Tensor> by_name;
  for (const auto& tensor : tensors) by_name[tensor.name] = tensor.value;
  CHECK(tensors[0].name == "model.weight");
  CHECK(by_name.size() == 10);
  check_values<float>(by_name.at("model.weight"), {2, 3}, {1, 2, 3, 4, 5, 6});
  check_values<int64_t>(by_name.at("model.running.count"), {}, {7});
  check_values<double>(by_name.at("types.f64"), {2}, {2, 3});
  check_values<uint16_t>(by_name.at("types.bf16"), {2, 2}, {0x4040, 0x4080, 0x40A0, 0x40C0});  // 3, 4, 5, 6
  check_values<uint8_t>(by_name.at("types.u8"), {3}, {4, 5, 6});
  check_values<int32_t>(by_name.at("types.i32"), {1, 2}, {6, 7});
  check_values<float>(by_name.at("transposed"), {3, 4}, {5, 8, 11, 14, 6, 9, 12, 15, 7, 10, 13, 16});
  check_values<float>(by_name.at("part"), {2, 2}, {9, 10, 12, 13});
  check_values<float>(by_name.at("empty"), {0, 4}, {});
  check_values<float>(by_name.at("parameter"), {2}, {8, 9});
}

TEST_CASE("torch file: what tensors do not need is refused by name") {
  const auto refusal = [](const char* file) {
    return error_of(ErrorKind::data, [&] { read_torch_file(files + file); });
  };
  CHECK(contains(refusal("float16.pt"), "torch.HalfStorage"));
  CHECK(contains(refusal("object.pt"), "torch.nn.modules.linear.Linear"));
  CHECK(contains(refusal("make_torch_files.py"), "not a zip archive"));
  CHECK(contains(refusal("big_endian.pt"), "big-endian"));
  CHECK(contains(refusal("compressed.pt"), "is compressed"));
  CHECK(contains(refusal("none.pt"), "cannot be opened"));
}

TEST_CASE("torch file: a flipped byte of a storage is found") {
  const TemporaryFolder folder;
  std::string bytes = read_file(files + "one_tensor.pt");
  const float seven = 7;
  const size_t at = bytes.find(std::string(reinterpret_cast<const char*>(&seven), 4));
  REQUIRE(at != std::string::npos);
  bytes[at] = 1;
  write_file(folder.file("x.pt"), bytes);
  CHECK(contains(error_of(ErrorKind::data, [&] { read_torch_file(folder.file("x.pt")); }), "damaged"));
}

TEST_CASE("torch file: thousands of mutations are read or refused") {
  const TemporaryFolder folder;
  const std::string path = folder.file("x.pt");
  std::mt19937_64 random(7);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  int read = 0, refused = 0;
  for (const char* name : {"one_tensor.pt", "many_tensors.pt"}) {
    const std::string valid = read_file(files + name);
    for (int round = 0; round < 3000; ++round) {
      std::string bytes = valid;
      for (size_t edits = 1 + below(3); edits > 0 && !bytes.empty(); --edits) {
        const size_t at = below(bytes.size());
        const size_t kind = below(8);
        if (kind < 4) bytes[at] = static_cast<char>(random());
        if (kind == 4) bytes[at] = '\xFF';
        if (kind == 5) bytes.erase(at, 1 + below(8));
        if (kind == 6) bytes.insert(at, bytes.substr(below(bytes.size()), below(40)));
        if (kind == 7) bytes.resize(at);
      }
      write_file(path, bytes);
      try {
        uint64_t sum = 0;
        for (const auto& tensor : read_torch_file(path)) {
          for (size_t i = 0; i < tensor.value.bytes(); ++i) sum += static_cast<const uint8_t*>(tensor.value.raw())[i];
        }
        CHECK(sum < 1'000'000);
        ++read;
      } catch (const Error& error) {
        REQUIRE(error.kind() == ErrorKind::data);
        ++refused;
      }
    }
  }
  CHECK(read > 100);
  CHECK(refused > 1000);
}

TEST_CASE("pickle: programs that are no plain data are refused, and nothing is run") {
  constexpr std::string_view allowed[] = {"collections.OrderedDict"};
  struct Row {
    std::string program, reason;
  };
  const std::vector<Row> rows = {
      {"cos\nsystem\n(X\x02\0\0\0lstR."s, "os.system"},
      {std::string("\x80\x04\x8c\x08") + "builtins" + "\x8c\x04" + "eval" + "\x93.", "builtins.eval"},
      {"cposix\nsystem\n.", "posix.system"},
      {"", "truncated"},
      {"N", "truncated"},
      {".", "stack is empty"},
      {"\x80\x06N.", "protocol 6"},
      {"t.", "no mark"},
      {"}Na.", "only lists"},
      {"]NNs.", "only dicts"},
      {"}(Nu.", "key without a value"},
      {"h\x07.", "not kept"},
      {"NNR.", "a call of something else"},
      {"ccollections\nOrderedDict\nNR.", "a call of something else"},
      {"NNb.", "a state for something else"},
      {"K\x01K\x02\x93.", "a global without a name"},
      {"\x8a\x09"
       "123456789.",
       "more than 64 bits"},
      {"X\xff\xff\xff\x7f"
       "abc.",
       "truncated"},
      {"\x8e\xff\xff\xff\xff\xff\xff\xff\xff"s, "truncated"},
      {"\x95\xff\0\0\0\0\0\0\0N."s, "truncated"},
      {"cno newline", "has no end"},
      {"\x97.", "opcode 0x97"},
      {"I1\n.", "opcode 0x49"},
      {"(i", "opcode 0x69"},
      {"\x81.", "opcode 0x81"},
  };
  for (const Row& row : rows) {
    const std::string message = error_of(ErrorKind::data, [&] { Pickle(bytes_of(row.program), "here", allowed); });
    CHECK_MESSAGE(contains(message, row.reason), message);
    CHECK(message.starts_with("here: "));
  }
}

TEST_CASE("pickle: plain data, also where it contains itself") {
  const std::string bytes = "\x80\x04]q\x01(h\x01K\x05J\xfe\xff\xff\xffG\x3f\xf8\0\0\0\0\0\0\x88N\x8c\x02hie."s;
  const Pickle pickle(bytes_of(bytes), "here", {});
  const PickleValue& list = pickle.root();
  REQUIRE(list.kind == PickleValue::Kind::list);
  REQUIRE(list.items.size() == 7);
  CHECK(list.items[0] == &list);
  CHECK(list.items[1]->integer == 5);
  CHECK(list.items[2]->integer == -2);
  CHECK(list.items[3]->real == 1.5);
  CHECK(list.items[4]->kind == PickleValue::Kind::boolean);
  CHECK(list.items[5]->kind == PickleValue::Kind::none);
  CHECK(list.items[6]->text == "hi");
}
