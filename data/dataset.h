// A data set on disk, opened for reading: every size checked against dataset.json, so that what is missing, cut off or
// of another shape is known before training and not hours into it; and what is cut off hours into it is an error that
// names the file.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/dataset_info.h"
#include "runtime/file/random_access_file.h"

namespace bev {

/// Immutable once open: any number of threads may read.
class Dataset {
 public:
  /// Throws Error(ErrorKind::data) naming file and field, what was found and what was expected.
  static std::shared_ptr<const Dataset> open(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const DatasetInfo& info() const { return info_; }
  int64_t size() const { return info_.samples; }
  /// What a batch holds of each sample: the samples' fields that are not integers, then the frames' fields, each with
  /// the observed steps as a leading dimension: "lidar_token" F32 [To, S, 512].
  const std::vector<FieldSpec>& fields() const { return fields_; }
  /// CRC-32 of dataset.json, which holds those of the shards: two runs with the same number saw the same data.
  const std::string& fingerprint() const { return fingerprint_; }

  /// Copies samples `first` .. `first + count - 1` of `batch.samples` into the batch's rows of the same numbers; -1
  /// gives zeros. The batch's fields are those of fields(). Throws Error(ErrorKind::data) naming shard, sample and
  /// field where a number is not finite or a frame does not exist, and the shard where it has become shorter.
  void gather(Batch& batch, int64_t first, int64_t count) const;

  /// An integer field of a sample, such as "route". Throws if there is none of that name, or if it has several
  /// elements.
  int64_t number(int64_t sample, std::string_view field) const;
  /// The numbers of a sample's frames, oldest first; empty in a data set without frames.
  std::vector<int64_t> frames(int64_t sample) const;

  /// Row `row` of a table, in memory of its own, for tools.
  Tensor row(Table table, int64_t row, std::string_view field) const;

 private:
  /// One field of one shard.
  struct Column {
    uint64_t offset = 0;  // of its first row in the file
    size_t row_bytes = 0;
  };
  struct Shard {
    RandomAccessFile file;
    int64_t first = 0, rows = 0;
    std::vector<Column> columns;  // in the order of the table's fields

    void read_row(size_t column, int64_t row, void* to) const;
    void announce_row(size_t column, int64_t row) const;
  };
  struct Rows {  // a table
    std::vector<Shard> shards;
    std::vector<int64_t> first;  // of each shard, ascending, and the total
  };

  Dataset() = default;
  void open_shard(const ShardInfo& info);
  const Rows& rows_of(Table table) const { return tables_[static_cast<int>(table)]; }
  const Shard& shard_of(Table table, int64_t row) const;
  void copy_row(Table table, size_t field, int64_t row, std::byte* to, int64_t sample) const;
  void announce(int64_t sample) const;

  std::string directory_, fingerprint_;
  DatasetInfo info_;
  Rows tables_[2];
  std::vector<FieldSpec> fields_;
  std::vector<size_t> sample_columns_;  // of the samples' fields, those that a batch holds
  int64_t steps_ = 0;                   // observed steps, To
};

}  // namespace bev
