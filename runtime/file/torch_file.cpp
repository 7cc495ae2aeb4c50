#include "runtime/file/torch_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>

#include "runtime/file/pickle.h"
#include "runtime/file/zip.h"

namespace bev {

namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view rebuild_tensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view rebuild_parameter = "torch._utils._rebuild_parameter";
constexpr std::string_view ordered_dict = "collections.OrderedDict";
constexpr std::string_view globals[] = {rebuild_tensor,       rebuild_parameter,     ordered_dict,
                                        "torch.FloatStorage", "torch.DoubleStorage", "torch.BFloat16Storage",
                                        "torch.ByteStorage",  "torch.IntStorage",    "torch.LongStorage"};
constexpr int deepest = 8;                 // dicts in dicts
constexpr int64_t most_items = 1'000'000;  // of all dicts together, each as often as it is reached

std::optional<DType> storage_type(std::string_view name) {
  if (name == "torch.FloatStorage") return DType::f32;
  if (name == "torch.DoubleStorage") return DType::f64;
  if (name == "torch.BFloat16Storage") return DType::bf16;
  if (name == "torch.ByteStorage") return DType::u8;
  if (name == "torch.IntStorage") return DType::i32;
  if (name == "torch.LongStorage") return DType::i64;
  return std::nullopt;
}

class TorchReader {
 public:
  explicit TorchReader(const std::string& path) : archive_(ZipArchive::open(path)), prefix_(find_prefix()) {
    if (const auto* order = archive_.find(prefix_ + "byteorder")) {
      const std::string_view text(reinterpret_cast<const char*>(order->bytes.data()), order->bytes.size());
      if (text != "little") fail(ErrorKind::data, "{}: its numbers are big-endian; expected little-endian", path);
    }
  }

  std::vector<NamedTensor> read() {
    const Pickle pickle(archive_.at(prefix_ + "data.pkl").bytes, archive_.path(), globals);
    collect(pickle.root(), "", 0);
    return std::move(tensors_);
  }

 private:
  /// All entries lie in one folder whose name torch takes from the file's.
  std::string find_prefix() const {
    for (const auto& entry : archive_.entries()) {
      const size_t slash = entry.name.find('/');
      if (slash != std::string::npos && entry.name.substr(slash + 1) == "data.pkl")
        return entry.name.substr(0, slash + 1);
    }
    fail(ErrorKind::data, "{}: is a zip archive, but holds no data.pkl: not a file of torch.save", archive_.path());
  }

  [[noreturn]] void wrong(const std::string& name, std::string_view what) const {
    fail(ErrorKind::data, "{}: tensor \"{}\": {}", archive_.path(), name, what);
  }

  void collect(const PickleValue& value, const std::string& name, int depth) {
    if (++items_ > most_items) fail(ErrorKind::data, "{}: more than {} items", archive_.path(), most_items);
    if (value.is_call(rebuild_tensor) || value.is_call(rebuild_parameter)) {
      tensors_.push_back({name, tensor(value, name)});
      return;
    }
    if (value.kind != Kind::dict && !value.is_call(ordered_dict)) return;
    if (depth == deepest) fail(ErrorKind::data, "{}: dicts nested deeper than {} levels", archive_.path(), deepest);
    for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
      if (value.items[i]->kind != Kind::text) continue;
      const std::string key(value.items[i]->text);
      collect(*value.items[i + 1], name.empty() ? key : name + "." + key, depth + 1);
    }
  }

  int64_t count(const PickleValue& value, const std::string& name) const {
    if (value.kind != Kind::integer || value.integer < 0 || value.integer > int64_t{1} << 40) {
      wrong(name, "a size, stride or offset is not a whole number from 0 to 2^40");
    }
    return value.integer;
  }
  Shape counts(const PickleValue& value, const std::string& name) const {
    if (value.kind != Kind::tuple || value.items.size() > Shape::max_rank) wrong(name, "more than 6 dimensions");
    Shape shape;
    for (const PickleValue* item : value.items) shape.append(count(*item, name));
    return shape;
  }

  /// Compared with its checksum once, however many tensors share it.
  std::span<const std::byte> storage_bytes(const std::string& entry) {
    const auto it = checked_.find(entry);
    if (it != checked_.end()) return it->second;
    return checked_[entry] = archive_.at(entry).bytes;
  }

  struct Storage {
    std::span<const std::byte> bytes;
    DType dtype;
    int64_t elements;
  };
  Storage storage(const PickleValue& value, const std::string& name) {
    const PickleValue* const id = value.kind == Kind::persistent ? value.argument : nullptr;
    if (!id || id->kind != Kind::tuple || id->items.size() != 5 || id->items[0]->text != "storage" ||
        id->items[1]->kind != Kind::global || id->items[2]->kind != Kind::text) {
      wrong(name, "its storage is not described as torch.save does");
    }
    const auto dtype = storage_type(id->items[1]->text);
    if (!dtype) wrong(name, fmt::format("its storage is of type {}", id->items[1]->text));
    const auto bytes = storage_bytes(fmt::format("{}data/{}", prefix_, id->items[2]->text));
    const int64_t elements = count(*id->items[4], name);
    if (bytes.size() / size_of(*dtype) < static_cast<size_t>(elements)) {
      wrong(name, fmt::format("its storage should have {} elements of {}, but has {} bytes", elements, name_of(*dtype),
                              bytes.size()));
    }
    return {bytes, *dtype, elements};
  }

  Tensor tensor(const PickleValue& call, const std::string& name) {
    const auto& arguments = call.argument->items;
    if (call.is_call(rebuild_parameter)) {  // (the tensor, whether it is trained, hooks)
      if (arguments.empty() || !arguments[0]->is_call(rebuild_tensor)) wrong(name, "a parameter without a tensor");
      return tensor(*arguments[0], name);
    }
    if (arguments.size() < 4) wrong(name, "storage, offset, sizes and strides are missing");
    const Storage from = storage(*arguments[0], name);
    const int64_t offset = count(*arguments[1], name);
    const Shape shape = counts(*arguments[2], name), strides = counts(*arguments[3], name);
    if (strides.rank() != shape.rank()) wrong(name, "as many strides as sizes are expected");
    return view(from, offset, shape, strides, name);
  }

  /// The elements in row-major order: where they lie if they lie so already, else copied.
  Tensor view(const Storage& from, int64_t offset, const Shape& shape, const Shape& strides,
              const std::string& name) const {
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
      return Tensor(std::make_shared<std::byte>(), shape, from.dtype);
    }
    __int128 elements = 1, last = offset;  // wide, since sizes and strides are the file's word
    bool contiguous = true;
    for (int i = shape.rank(); i-- > 0;) {
      if (shape[i] != 1 && strides[i] != static_cast<int64_t>(elements)) contiguous = false;
      last += static_cast<__int128>(shape[i] - 1) * strides[i];
      elements *= shape[i];
      if (elements > from.elements) wrong(name, fmt::format("{} has more elements than its storage", shape.text()));
    }
    if (last >= from.elements) wrong(name, fmt::format("{} reaches beyond its storage", shape.text()));

    const size_t size = size_of(from.dtype);
    const std::byte* const base = from.bytes.data() + static_cast<size_t>(offset) * size;
    if (contiguous && reinterpret_cast<uintptr_t>(base) % size == 0) {
      const std::shared_ptr<const std::byte> memory(archive_.file().memory, base);
      return Tensor(std::const_pointer_cast<std::byte>(memory), shape, from.dtype);
    }
    std::shared_ptr<std::byte[]> copy(new std::byte[static_cast<size_t>(elements) * size]);
    std::array<int64_t, Shape::max_rank> at = {};
    for (int64_t i = 0; i < static_cast<int64_t>(elements); ++i) {
      int64_t place = 0;
      for (int d = 0; d < shape.rank(); ++d) place += at[static_cast<size_t>(d)] * strides[d];
      std::memcpy(copy.get() + static_cast<size_t>(i) * size, base + static_cast<size_t>(place) * size, size);
      for (int d = shape.rank(); d-- > 0;) {
        if (++at[static_cast<size_t>(d)] < shape[d]) break;
        at[static_cast<size_t>(d)] = 0;
      }
    }
    return Tensor(std::shared_ptr<void>(copy, copy.get()), shape, from.dtype);
  }

  ZipArchive archive_;
  std::string prefix_;
  std::vector<NamedTensor> tensors_;
  std::map<std::string, std::span<const std::byte>> checked_;
  int64_t items_ = 0;
};

}  // namespace

std::vector<NamedTensor> read_torch_file(const std::string& path) { return TorchReader(path).read(); }

}  // namespace bev
