#include "data/dataset.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "data/batch_memory.h"
#include "data/finite.h"
#include "runtime/file/checksum.h"
#include "runtime/file/mapped_file.h"
#include "runtime/file/safetensors.h"

namespace bev {

namespace {

constexpr size_t descriptors = 256;  // that a data set holds: several are open at once, and a process may have 1,024

int64_t integer_at(const Tensor& values, int64_t i) {
  return values.dtype() == DType::i64 ? values.data<int64_t>()[i] : values.data<int32_t>()[i];
}

}  // namespace

std::shared_ptr<const Dataset> Dataset::open(const std::string& directory) {
  const std::string path = directory + "/dataset.json";
  if (!std::filesystem::exists(path)) {
    fail(ErrorKind::data, "{}: has no dataset.json: expected the directory of one split of a data set{}", directory,
         std::filesystem::exists(directory + "/train/dataset.json") ? ", such as its train/" : "");
  }
  const MappedFile text = MappedFile::open(path);
  std::shared_ptr<Dataset> dataset(new Dataset());
  dataset->directory_ = directory;
  dataset->info_ = dataset_info_from_json({reinterpret_cast<const char*>(text.memory.get()), text.size}, path);
  dataset->fingerprint_ = fmt::format("{:08x}", crc32_of(text.bytes()));

  const DatasetInfo& info = dataset->info_;
  for (size_t i = 0; i < info.sample_fields.size(); ++i) {
    const FieldSpec& field = info.sample_fields[i];
    if (is_integer(field.dtype)) continue;
    dataset->fields_.push_back(field);
    dataset->sample_columns_.push_back(i);
  }
  dataset->steps_ = find_field(info.sample_fields, "ego_status")->shape[0];
  for (const FieldSpec& field : info.frame_fields) {
    FieldSpec gathered{.name = field.name, .dtype = field.dtype, .shape = {dataset->steps_}};
    for (const int64_t size : field.shape) gathered.shape.append(size);
    dataset->fields_.push_back(gathered);
  }
  for (const ShardInfo& shard : info.shards) dataset->open_shard(shard);
  for (Rows& table : dataset->tables_) {
    for (const Shard& shard : table.shards) table.first.push_back(shard.first);
  }
  return dataset;
}

void Dataset::open_shard(const ShardInfo& info) {
  using Descriptor = RandomAccessFile::Descriptor;
  const size_t opened = tables_[0].shards.size() + tables_[1].shards.size();
  const std::string path = directory_ + "/" + info.file;
  Shard shard{.file = RandomAccessFile::open(path, opened < descriptors ? Descriptor::held : Descriptor::for_each_call),
              .first = 0,
              .rows = info.rows,
              .columns = {}};
  if (shard.file.size() != info.bytes) {
    fail(ErrorKind::data, "{}: has {} bytes, expected {} by dataset.json: truncated or replaced", path,
         shard.file.size(), info.bytes);
  }
  const SafetensorsFile file = SafetensorsFile::open(path);
  const std::vector<FieldSpec>& fields = info_.fields_of(info.table);
  for (const FieldSpec& field : fields) {
    const auto* const entry = file.find(field.name);
    if (!entry) fail(ErrorKind::data, "{}: has no tensor {}, which dataset.json lists", path, field.name);
    Shape expected{info.rows};
    for (const int64_t size : field.shape) expected.append(size);
    if (entry->dtype != field.dtype || entry->shape != expected) {
      fail(ErrorKind::data, "{}: tensor {} is {} {}, expected {} {} by dataset.json", path, field.name,
           name_of(entry->dtype), entry->shape.text(), name_of(field.dtype), expected.text());
    }
    shard.columns.push_back({.offset = file.data_offset() + entry->begin,
                             .row_bytes = static_cast<size_t>(field.shape.elements()) * size_of(field.dtype)});
  }
  if (file.entries().size() != fields.size()) {
    fail(ErrorKind::data, "{}: holds {} tensors, expected {} by dataset.json", path, file.entries().size(),
         fields.size());
  }
  Rows& table = tables_[static_cast<int>(info.table)];
  if (!table.shards.empty()) shard.first = table.shards.back().first + table.shards.back().rows;
  table.shards.push_back(std::move(shard));
}

const Dataset::Shard& Dataset::shard_of(Table table, int64_t row) const {
  const Rows& rows = rows_of(table);
  const int64_t total = table == Table::samples ? info_.samples : info_.frames;
  if (row < 0 || row >= total) {
    fail(ErrorKind::data, "{}: row {} of the {} was asked for, but there are {}", directory_, row, name_of(table),
         total);
  }
  const auto next = std::upper_bound(rows.first.begin(), rows.first.end(), row);
  return rows.shards[static_cast<size_t>(next - rows.first.begin() - 1)];
}

void Dataset::Shard::read_row(size_t column, int64_t row, void* to) const {
  const Column& of = columns[column];
  file.read(of.offset + static_cast<uint64_t>(row - first) * of.row_bytes, to, of.row_bytes);
}

void Dataset::Shard::announce_row(size_t column, int64_t row) const {
  constexpr size_t worth_a_call = 32 << 10;
  const Column& of = columns[column];
  if (of.row_bytes < worth_a_call) return;
  file.will_need(of.offset + static_cast<uint64_t>(row - first) * of.row_bytes, of.row_bytes);
}

void Dataset::copy_row(Table table, size_t field, int64_t row, std::byte* to, int64_t sample) const {
  const Shard& shard = shard_of(table, row);
  shard.read_row(field, row, to);
  const FieldSpec& spec = info_.fields_of(table)[field];
  const int64_t bad = first_not_finite(spec.dtype, to, spec.shape.elements());
  if (bad >= 0) {
    fail(ErrorKind::data, "{}: field {} of sample {} is not finite (row {} of the {}, element {} of {})",
         shard.file.path(), spec.name, sample, row, name_of(table), bad, spec.shape.text());
  }
}

void Dataset::announce(int64_t sample) const {
  const Shard& shard = shard_of(Table::samples, sample);
  for (size_t column = 0; column < shard.columns.size(); ++column) shard.announce_row(column, sample);
  for (const int64_t frame : frames(sample)) {
    const Shard& frames = shard_of(Table::frames, frame);
    for (size_t column = 0; column < frames.columns.size(); ++column) frames.announce_row(column, frame);
  }
}

void Dataset::gather(Batch& batch, int64_t first, int64_t count) const {
  // One thread keeps many reads of the disk under way.
  for (int64_t b = first; b < first + count; ++b) {
    if (batch.samples[static_cast<size_t>(b)] >= 0) announce(batch.samples[static_cast<size_t>(b)]);
  }
  for (int64_t b = first; b < first + count; ++b) {
    const int64_t sample = batch.samples[static_cast<size_t>(b)];
    const std::vector<int64_t> used = sample < 0 ? std::vector<int64_t>() : frames(sample);
    for (size_t i = 0; i < fields_.size(); ++i) {
      const size_t bytes = batch.fields[i].value.bytes() / static_cast<size_t>(batch.size);  // of a sample
      std::byte* const to = static_cast<std::byte*>(batch.fields[i].value.raw()) + static_cast<size_t>(b) * bytes;
      if (sample < 0) {
        std::memset(to, 0, bytes);
      } else if (i < sample_columns_.size()) {
        copy_row(Table::samples, sample_columns_[i], sample, to, sample);
      } else {
        const size_t frame_bytes = bytes / used.size();
        for (size_t step = 0; step < used.size(); ++step) {
          copy_row(Table::frames, i - sample_columns_.size(), used[step], to + step * frame_bytes, sample);
        }
      }
    }
  }
}

int64_t Dataset::number(int64_t sample, std::string_view field) const {
  const Tensor value = row(Table::samples, sample, field);
  if (!is_integer(value.dtype()) || value.size() != 1) {
    fail(ErrorKind::data, "{}: field {} is {} {} and not one whole number", directory_, field, name_of(value.dtype()),
         value.shape().text());
  }
  return integer_at(value, 0);
}

std::vector<int64_t> Dataset::frames(int64_t sample) const {
  std::vector<int64_t> out;
  if (info_.frame_fields.empty()) return out;
  const Tensor named = row(Table::samples, sample, "frames");
  for (int64_t step = 0; step < steps_; ++step) {
    out.push_back(integer_at(named, step));
    if (out.back() < 0 || out.back() >= info_.frames) {
      fail(ErrorKind::data, "{}: sample {} names frame {}, but the data set has {} frames",
           shard_of(Table::samples, sample).file.path(), sample, out.back(), info_.frames);
    }
  }
  return out;
}

Tensor Dataset::row(Table table, int64_t row, std::string_view field) const {
  const std::vector<FieldSpec>& fields = info_.fields_of(table);
  const FieldSpec* const spec = find_field(fields, field);
  if (!spec) fail(ErrorKind::data, "{}: {} have no field {}", directory_, name_of(table), field);
  const size_t bytes = static_cast<size_t>(spec->shape.elements()) * size_of(spec->dtype);
  const Tensor out(plain_host_memory()(bytes), spec->shape, spec->dtype);
  shard_of(table, row).read_row(static_cast<size_t>(spec - fields.data()), row, out.raw());
  return out;
}

}  // namespace bev
