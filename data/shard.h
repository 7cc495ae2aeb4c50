// A shard in the making: rows of one table, collected in memory and written as one file.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/dataset_info.h"

namespace bev {

/// A field of one row, in the caller's memory.
struct FieldView {
  std::string_view name;
  DType dtype;
  const void* data;
  int64_t elements;

  /// `values` in row-major order.
  template <class T>
  static FieldView of(std::string_view name, std::span<const T> values) {
    return {name, dtype_of<T>(), values.data(), static_cast<int64_t>(values.size())};
  }
  template <class T>
  static FieldView of(std::string_view name, const std::vector<T>& values) {
    return of(name, std::span<const T>(values));
  }
};

class ShardBuffer {
 public:
  /// Memory for `rows` rows of `fields`, a row's fields being `row_bytes(fields)` long.
  ShardBuffer(Table table, std::vector<FieldSpec> fields, int64_t rows);

  static uint64_t row_bytes(const std::vector<FieldSpec>& fields);

  /// Appends a row; its fields in any order, each exactly once. Throws Error(ErrorKind::data) naming field and row if
  /// one is missing, unknown, of another type or size, or not finite. `row` is its number in the table, for messages.
  void add(std::span<const FieldView> row_fields, int64_t row);

  int64_t rows() const { return rows_; }
  bool full() const { return rows_ == capacity_; }

  /// Writes the rows to DIRECTORY/file and forgets them.
  ShardInfo write(const std::string& directory, const std::string& file,
                  const std::map<std::string, std::string>& metadata = {});

 private:
  Table table_;
  std::vector<FieldSpec> fields_;
  std::vector<std::vector<std::byte>> columns_;
  int64_t capacity_, rows_ = 0;
};

/// Size and CRC-32 of a finished shard.
ShardInfo examine_shard(Table table, const std::string& directory, const std::string& file, int64_t rows);

}  // namespace bev
