// Writes a data set row by row, in bounded memory: shards as they fill, dataset.json last, so that an interrupted
// writer leaves no data set. The same rows give the same bytes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/shard.h"

namespace bev {

struct DatasetWriterOptions {
  uint64_t shard_bytes = uint64_t{256} << 20;  // about; a shard holds at least one row
  std::map<std::string, std::string> provenance;
};

class DatasetWriter {
 public:
  /// Creates the directory if need be. Throws Error(ErrorKind::usage) if it already holds a data set, or if the fields
  /// make no sense (see check_fields).
  DatasetWriter(std::string directory, std::vector<FieldSpec> sample_fields, std::vector<FieldSpec> frame_fields,
                DatasetWriterOptions options = {});

  /// Appends a frame and gives its number, for the samples' field "frames". Throws as ShardBuffer::add.
  int64_t add_frame(std::span<const FieldView> fields);
  /// Appends a sample and gives its number. Its frames must have been added. Throws as ShardBuffer::add.
  int64_t add_sample(std::span<const FieldView> fields);

  /// Writes what is left, computes the statistics and writes dataset.json. Called once, last.
  DatasetInfo finish();

 private:
  ShardBuffer& buffer(Table table) { return table == Table::samples ? samples_ : frames_; }
  int64_t add(Table table, std::span<const FieldView> fields);
  void flush(Table table);

  std::string directory_;
  DatasetInfo info_;
  ShardBuffer samples_, frames_;
  std::vector<ShardInfo> shards_[2];  // by table
};

/// Rows of a shard of about `shard_bytes`.
int64_t rows_a_shard(const std::vector<FieldSpec>& fields, uint64_t shard_bytes);

/// Makes a data set of finished shards, those of `info`: counts their rows, computes the statistics, removes other
/// shards that an interrupted run left in the directory, and writes dataset.json.
void finish_dataset(const std::string& directory, DatasetInfo& info);

/// Creates `directory` for a new data set. Throws Error(ErrorKind::usage) if it holds one.
void prepare_directory(const std::string& directory);

}  // namespace bev
