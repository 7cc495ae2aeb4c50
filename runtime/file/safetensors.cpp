#include "runtime/file/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "runtime/file/atomic_file.h"
#include "runtime/file/json.h"
#include "runtime/file/mapped_file.h"

namespace bev {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and used as they are");

constexpr size_t prefix_bytes = 8;                   // the header's length
constexpr uint64_t max_header_bytes = 100ull << 20;  // as in the format's own reader
constexpr size_t data_alignment = 64;
constexpr const char* metadata_key = "__metadata__";

using Entry = SafetensorsFile::Entry;

/// The shape and its number of elements, checked for overflow.
std::pair<Shape, uint64_t> read_shape(const nlohmann::json& sizes, const std::string& where) {
  if (!sizes.is_array() || sizes.size() > Shape::max_rank) {
    fail(ErrorKind::data, "{}: \"shape\" must be an array of at most {} sizes", where, Shape::max_rank);
  }
  Shape shape;
  uint64_t elements = 1;
  for (const auto& size : sizes) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > uint64_t{1} << 48) {
      fail(ErrorKind::data, "{}: \"shape\" must hold whole numbers from 0 to 2^48, found {}", where, brief(size));
    }
    shape.append(size.get<int64_t>());
    if (__builtin_mul_overflow(elements, size.get<uint64_t>(), &elements)) {
      fail(ErrorKind::data, "{}: the shape has more elements than can be counted", where);
    }
  }
  return {shape, elements};
}

Entry read_entry(const std::string& name, const nlohmann::json& value, uint64_t data_bytes, const std::string& where) {
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets")) {
    fail(ErrorKind::data, "{}: expected an object of dtype, shape and data_offsets", where);
  }
  const auto& dtype_name = value["dtype"];
  const std::optional<DType> dtype =
      dtype_name.is_string() ? dtype_named(dtype_name.get_ref<const std::string&>()) : std::nullopt;
  if (!dtype) {
    fail(ErrorKind::data, "{}: dtype {} is not known here: expected F32, F64, BF16, U8, I32 or I64", where,
         brief(dtype_name));
  }
  const auto [shape, elements] = read_shape(value["shape"], where);
  const auto& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    fail(ErrorKind::data, "{}: \"data_offsets\" must be two whole numbers, begin and end, found {}", where,
         brief(offsets));
  }
  const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (begin > end || end > data_bytes) {
    fail(ErrorKind::data, "{}: bytes {} to {} do not lie within the file's {} bytes of data: truncated?", where, begin,
         end, data_bytes);
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(elements, uint64_t{size_of(*dtype)}, &bytes) || end - begin != bytes) {
    fail(ErrorKind::data, "{}: {} {} needs {} bytes, but bytes {} to {} are its own", where, name_of(*dtype),
         shape.text(), bytes, begin, end);
  }
  return {name, *dtype, shape, begin, end};
}

std::map<std::string, std::string> read_metadata(const nlohmann::json& value, const std::string& path) {
  if (!value.is_object()) fail(ErrorKind::data, "{}: __metadata__ must be an object of strings", path);
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) fail(ErrorKind::data, "{}: __metadata__ {} must be a string", path, brief(key));
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

/// Throws unless the entries, sorted by their place, cover the data without holes or overlaps.
void check_tiling(const std::vector<Entry>& entries, uint64_t data_bytes, const std::string& path) {
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      fail(ErrorKind::data, "{}: tensor {} begins at byte {} of the data, but the tensor before it ends at {}", path,
           brief(entry.name), entry.begin, covered);
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    fail(ErrorKind::data, "{}: the tensors take {} bytes, but {} follow the header", path, covered, data_bytes);
  }
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  const MappedFile mapped = MappedFile::open(path);
  if (mapped.size < prefix_bytes) {
    fail(ErrorKind::data, "{}: {} bytes are too short for a safetensors file: truncated?", path, mapped.size);
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, mapped.memory.get(), prefix_bytes);
  if (header_bytes > max_header_bytes) {
    fail(ErrorKind::data, "{}: a header of {} bytes is more than the {} allowed: is it a safetensors file?", path,
         header_bytes, max_header_bytes);
  }
  if (header_bytes > mapped.size - prefix_bytes) {
    fail(ErrorKind::data, "{}: the header has {} bytes, but only {} follow: truncated?", path, header_bytes,
         mapped.size - prefix_bytes);
  }
  const std::string_view text(reinterpret_cast<const char*>(mapped.memory.get()) + prefix_bytes, header_bytes);
  if (!text.starts_with('{')) fail(ErrorKind::data, "{}: the header does not start with a brace", path);
  const nlohmann::json header = parse_json(text, path, 3);

  SafetensorsFile file;
  file.path_ = path;
  file.data_ = mapped.memory.get() + prefix_bytes + header_bytes;
  file.mapping_ = std::shared_ptr<void>(mapped.memory, const_cast<std::byte*>(mapped.memory.get()));
  const uint64_t data_bytes = mapped.size - prefix_bytes - header_bytes;
  for (const auto& [name, value] : header.items()) {
    if (name == metadata_key) {
      file.metadata_ = read_metadata(value, path);
    } else {
      file.entries_.push_back(read_entry(name, value, data_bytes, fmt::format("{}: tensor {}", path, brief(name))));
    }
  }
  // Empty tensors share their offset with the next one and come before it.
  std::stable_sort(file.entries_.begin(), file.entries_.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  check_tiling(file.entries_, data_bytes, path);
  for (size_t i = 0; i < file.entries_.size(); ++i) file.by_name_[file.entries_[i].name] = i;
  return file;
}

const SafetensorsFile::Entry* SafetensorsFile::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &entries_[it->second];
}

Tensor SafetensorsFile::tensor(std::string_view name) const {
  const Entry* const entry = find(name);
  if (!entry) fail(ErrorKind::data, "{}: has no tensor {}", path_, name);
  return tensor(*entry);
}

Tensor SafetensorsFile::tensor(const Entry& entry) const {
  std::byte* const place = const_cast<std::byte*>(data_ + entry.begin);  // only the type is writable: see the header
  if (reinterpret_cast<uintptr_t>(place) % size_of(entry.dtype) == 0) {
    return Tensor(std::shared_ptr<void>(mapping_, place), entry.shape, entry.dtype);
  }
  // Other writers may put an I64 behind three bytes: such a tensor cannot be used where it lies.
  const size_t bytes = entry.end - entry.begin;
  std::shared_ptr<void> copy(::operator new(bytes), [](void* memory) { ::operator delete(memory); });
  std::memcpy(copy.get(), place, bytes);
  return Tensor(std::move(copy), entry.shape, entry.dtype);
}

void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Wide elements first: then every tensor is aligned to its own elements, whatever stands before it.
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return size_of(a->value.dtype()) > size_of(b->value.dtype());
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[metadata_key] = metadata;
  std::set<std::string_view> names;
  size_t offset = 0;
  for (const NamedTensor* tensor : order) {
    if (tensor->name == metadata_key || !names.insert(tensor->name).second) {
      fail(ErrorKind::runtime, "{}: cannot hold a tensor called {} here: the name is taken", path, tensor->name);
    }
    const Shape& shape = tensor->value.shape();
    const size_t end = offset + tensor->value.bytes();
    header[tensor->name] = {{"dtype", name_of(tensor->value.dtype())},
                            {"shape", std::vector<int64_t>(shape.begin(), shape.end())},
                            {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorKind::runtime, "{}: a name or metadata is not UTF-8: {}", path, error.what());
  }
  const size_t unpadded = prefix_bytes + text.size();
  text.append((data_alignment - unpadded % data_alignment) % data_alignment, ' ');

  AtomicFile file(path);
  const uint64_t header_bytes = text.size();
  file.write(&header_bytes, prefix_bytes);
  file.write(text.data(), text.size());
  for (const NamedTensor* tensor : order) file.write(tensor->value.raw(), tensor->value.bytes());
  file.commit();
}

}  // namespace bev
