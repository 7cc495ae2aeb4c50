#include "data/inspect.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "data/shard.h"

namespace bev {

namespace {

std::string size_text(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, units[unit]);
}

std::string field_table(const DatasetInfo& info) {
  std::string out;
  for (const Table table : {Table::samples, Table::frames}) {
    const int64_t rows = table == Table::samples ? info.samples : info.frames;
    for (const FieldSpec& field : info.fields_of(table)) {
      const uint64_t bytes = ShardBuffer::row_bytes({field});
      out += fmt::format("  {:<8} {:<24} {:<5} {:<18} {:>10} each {:>10} in all\n", name_of(table), field.name,
                         name_of(field.dtype), field.shape.text(), size_text(static_cast<double>(bytes)),
                         size_text(static_cast<double>(bytes) * static_cast<double>(rows)));
    }
  }
  return out;
}

std::string statistics_table(const DatasetInfo& info) {
  std::string out = fmt::format("  {:<15} {:>12} {:>12} {:>12} {:>12}\n", "statistics", "min", "max", "mean", "std");
  for (const auto& [name, numbers] : info.statistics) {
    for (size_t i = 0; i < numbers.mean.size(); ++i) {
      out += fmt::format("  {:<15} {:>12.4f} {:>12.4f} {:>12.4f} {:>12.4f}\n", fmt::format("{}[{}]", name, i),
                         numbers.min[i], numbers.max[i], numbers.mean[i], numbers.deviation[i]);
    }
  }
  return out;
}

/// How many different values the integer field has.
size_t distinct_numbers(const Dataset& dataset, std::string_view field) {
  std::set<int64_t> seen;
  for (int64_t sample = 0; sample < dataset.size(); ++sample) seen.insert(dataset.number(sample, field));
  return seen.size();
}

}  // namespace

std::string describe(const Dataset& dataset) {
  const DatasetInfo& info = dataset.info();
  uint64_t bytes = 0;
  for (const ShardInfo& shard : info.shards) bytes += shard.bytes;
  std::string out = fmt::format("{}: {} samples", dataset.directory(), info.samples);
  const FieldSpec* const route = find_field(info.sample_fields, "route");
  if (route && is_integer(route->dtype) && route->shape.elements() == 1) {
    out += fmt::format(" of {} routes", distinct_numbers(dataset, "route"));
  }
  if (info.frames > 0) {
    const int64_t steps = find_field(info.sample_fields, "frames")->shape[0];
    out += fmt::format(", {} frames (each used {:.1f} times)", info.frames,
                       static_cast<double>(info.samples * steps) / static_cast<double>(info.frames));
  }
  out += fmt::format(", {} in {} shards, fingerprint {}\n", size_text(static_cast<double>(bytes)), info.shards.size(),
                     dataset.fingerprint());
  out += field_table(info) + statistics_table(info);
  for (const auto& [key, value] : info.provenance) out += fmt::format("  {}: {}\n", key, value);
  return out;
}

std::vector<std::string> splits_of(const std::string& directory) {
  const auto holds_one = [](const std::string& path) { return std::filesystem::exists(path + "/dataset.json"); };
  if (holds_one(directory)) return {directory};
  std::vector<std::string> splits;
  for (const char* split : {"train", "val"}) {
    const std::string path = directory + "/" + split;
    if (holds_one(path)) splits.push_back(path);
  }
  if (splits.empty()) {
    fail(ErrorKind::data, "{}: holds no data set: expected dataset.json in it, or in its train/ or val/", directory);
  }
  return splits;
}

}  // namespace bev
