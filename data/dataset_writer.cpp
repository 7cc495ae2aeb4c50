#include "data/dataset_writer.h"

#include <algorithm>
#include <filesystem>

#include "data/statistics.h"
#include "runtime/file/atomic_file.h"

namespace bev {

namespace {

/// Shards that the data set does not have: an interrupted run left them.
void remove_other_shards(const std::string& directory, const DatasetInfo& info) {
  std::vector<std::filesystem::path> others;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    const bool shard = (name.starts_with("samples-") || name.starts_with("frames-")) &&
                       (name.ends_with(".safetensors") || name.ends_with(".safetensors.partial"));
    const bool listed = std::any_of(info.shards.begin(), info.shards.end(),
                                    [&](const ShardInfo& listed_shard) { return listed_shard.file == name; });
    if (shard && !listed) others.push_back(entry.path());
  }
  for (const auto& path : others) std::filesystem::remove(path);
}

/// The number of a sample's frame, whatever its integer type.
int64_t frame_number(const FieldView& frames, int64_t i) {
  return frames.dtype == DType::i64 ? static_cast<const int64_t*>(frames.data)[i]
                                    : static_cast<const int32_t*>(frames.data)[i];
}

}  // namespace

int64_t rows_a_shard(const std::vector<FieldSpec>& fields, uint64_t shard_bytes) {
  const uint64_t row = std::max(ShardBuffer::row_bytes(fields), uint64_t{1});
  return static_cast<int64_t>(std::max(shard_bytes / row, uint64_t{1}));
}

void prepare_directory(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) fail(ErrorKind::runtime, "{}: cannot be created: {}", directory, error.message());
  if (std::filesystem::exists(directory + "/dataset.json")) {
    fail(ErrorKind::usage, "{}: already holds a data set: remove it or choose another directory", directory);
  }
}

void finish_dataset(const std::string& directory, DatasetInfo& info) {
  info.samples = info.frames = 0;
  for (const ShardInfo& shard : info.shards) (shard.table == Table::samples ? info.samples : info.frames) += shard.rows;
  info.statistics = compute_statistics(directory, info.shards);
  remove_other_shards(directory, info);
  write_text_file(directory + "/dataset.json", to_json(info));
}

DatasetWriter::DatasetWriter(std::string directory, std::vector<FieldSpec> sample_fields,
                             std::vector<FieldSpec> frame_fields, DatasetWriterOptions options)
    : directory_(std::move(directory)),
      samples_(Table::samples, sample_fields, rows_a_shard(sample_fields, options.shard_bytes)),
      frames_(Table::frames, frame_fields, rows_a_shard(frame_fields, options.shard_bytes)) {
  check_fields(sample_fields, frame_fields, directory_, ErrorKind::usage);
  info_.sample_fields = std::move(sample_fields);
  info_.frame_fields = std::move(frame_fields);
  info_.provenance = std::move(options.provenance);
  prepare_directory(directory_);
}

int64_t DatasetWriter::add(Table table, std::span<const FieldView> fields) {
  int64_t& count = table == Table::samples ? info_.samples : info_.frames;
  buffer(table).add(fields, count);
  if (buffer(table).full()) flush(table);
  return count++;
}

int64_t DatasetWriter::add_frame(std::span<const FieldView> fields) { return add(Table::frames, fields); }

int64_t DatasetWriter::add_sample(std::span<const FieldView> fields) {
  for (const FieldView& field : fields) {
    if (field.name != "frames" || !is_integer(field.dtype)) continue;
    for (int64_t i = 0; i < field.elements; ++i) {
      const int64_t frame = frame_number(field, i);
      if (frame < 0 || frame >= info_.frames) {
        fail(ErrorKind::data, "sample {} names frame {}, but {} frames have been added", info_.samples, frame,
             info_.frames);
      }
    }
  }
  return add(Table::samples, fields);
}

void DatasetWriter::flush(Table table) {
  auto& shards = shards_[static_cast<int>(table)];
  shards.push_back(buffer(table).write(directory_, shard_name(table, static_cast<int64_t>(shards.size()))));
}

DatasetInfo DatasetWriter::finish() {
  for (const Table table : {Table::samples, Table::frames}) {
    if (buffer(table).rows() > 0) flush(table);
    const auto& shards = shards_[static_cast<int>(table)];
    info_.shards.insert(info_.shards.end(), shards.begin(), shards.end());
  }
  finish_dataset(directory_, info_);
  return info_;
}

}  // namespace bev
