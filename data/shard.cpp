#include "data/shard.h"

#include <cstring>
#include <utility>

#include "data/finite.h"
#include "runtime/file/checksum.h"
#include "runtime/file/safetensors.h"

namespace bev {

namespace {

size_t field_bytes(const FieldSpec& field) {
  return static_cast<size_t>(field.shape.elements()) * size_of(field.dtype);
}

Shape with_rows(int64_t rows, const Shape& shape) {
  Shape out{rows};
  for (const int64_t size : shape) out.append(size);
  return out;
}

}  // namespace

ShardBuffer::ShardBuffer(Table table, std::vector<FieldSpec> fields, int64_t rows)
    : table_(table), fields_(std::move(fields)), columns_(fields_.size()), capacity_(rows) {
  for (size_t i = 0; i < fields_.size(); ++i) columns_[i].reserve(static_cast<size_t>(rows) * field_bytes(fields_[i]));
}

uint64_t ShardBuffer::row_bytes(const std::vector<FieldSpec>& fields) {
  uint64_t bytes = 0;
  for (const FieldSpec& field : fields) bytes += field_bytes(field);
  return bytes;
}

void ShardBuffer::add(std::span<const FieldView> row_fields, int64_t row) {
  const auto refuse = [&](std::string_view field, const std::string& reason) {
    fail(ErrorKind::data, "row {} of the {}: field {} {}", row, name_of(table_), field, reason);
  };
  std::vector<const FieldView*> found(fields_.size());  // checked before anything is stored: a row is in whole or not
  for (const FieldView& view : row_fields) {
    const FieldSpec* const spec = find_field(fields_, view.name);
    if (!spec) refuse(view.name, "is not among the data set's");
    const FieldView*& place = found[static_cast<size_t>(spec - fields_.data())];
    if (place) refuse(view.name, "is given twice");
    if (view.dtype != spec->dtype || view.elements != spec->shape.elements()) {
      refuse(view.name, fmt::format("has {} elements of {}, expected {} {}", view.elements, name_of(view.dtype),
                                    name_of(spec->dtype), spec->shape.text()));
    }
    const int64_t bad = first_not_finite(view.dtype, view.data, view.elements);
    if (bad >= 0) refuse(view.name, fmt::format("is not finite at element {}", bad));
    place = &view;
  }
  for (size_t i = 0; i < fields_.size(); ++i) {
    if (!found[i]) refuse(fields_[i].name, "is missing");
  }
  for (size_t i = 0; i < fields_.size(); ++i) {
    const auto* const bytes = static_cast<const std::byte*>(found[i]->data);
    columns_[i].insert(columns_[i].end(), bytes, bytes + field_bytes(fields_[i]));
  }
  ++rows_;
}

ShardInfo ShardBuffer::write(const std::string& directory, const std::string& file,
                             const std::map<std::string, std::string>& metadata) {
  std::vector<NamedTensor> tensors;
  for (size_t i = 0; i < fields_.size(); ++i) {
    // Lent for the call: this object owns the memory.
    const std::shared_ptr<void> memory(std::shared_ptr<void>(), columns_[i].data());
    tensors.push_back({fields_[i].name, Tensor(memory, with_rows(rows_, fields_[i].shape), fields_[i].dtype)});
  }
  write_safetensors(directory + "/" + file, tensors, metadata);
  for (auto& column : columns_) column.clear();
  return examine_shard(table_, directory, file, std::exchange(rows_, 0));
}

ShardInfo examine_shard(Table table, const std::string& directory, const std::string& file, int64_t rows) {
  const FileChecksum sum = checksum_of_file(directory + "/" + file);
  return {.table = table, .file = file, .rows = rows, .bytes = sum.bytes, .crc32 = sum.crc32};
}

}  // namespace bev
