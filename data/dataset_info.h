// What dataset.json says: how a data set on disk is laid out. A data set is one directory and one split:
//
//   dataset.json                    this, written last: a directory without it is no data set
//   samples-00000.safetensors ...   a table of samples: one tensor a field, [rows, ...shape of a sample's field]
//   frames-00000.safetensors  ...   a table of frames, likewise: what several samples share, stored once
//
// A sample names its frames in the integer field "frames" [To], oldest first. Integer fields are about a sample (its
// frames, its route); all others are handed to the model.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/train/batch.h"

namespace bev {

enum class Table : uint8_t { samples, frames };
std::string_view name_of(Table table);

struct ShardInfo {
  Table table = Table::samples;
  std::string file;  // within the data set's directory
  int64_t rows = 0;
  uint64_t bytes = 0;  // of the file
  uint32_t crc32 = 0;  // of the file
};

/// Per column (last dimension) of a field, over all samples and steps. `deviation` is that of the population.
struct FieldStatistics {
  std::vector<double> min, max, mean, deviation;
  bool operator==(const FieldStatistics&) const = default;
};

struct DatasetInfo {
  static constexpr int64_t version = 1;

  int64_t samples = 0, frames = 0;
  std::vector<FieldSpec> sample_fields, frame_fields;
  std::vector<ShardInfo> shards;                      // of either table in the order of its rows
  std::map<std::string, FieldStatistics> statistics;  // of "agent_pos" (metres) and "ego_status"
  std::map<std::string, std::string> provenance;      // where it came from, for people

  const std::vector<FieldSpec>& fields_of(Table table) const {
    return table == Table::samples ? sample_fields : frame_fields;
  }
};

constexpr bool is_integer(DType type) { return type == DType::i32 || type == DType::i64; }
constexpr bool is_floating(DType type) { return type == DType::f32 || type == DType::f64 || type == DType::bf16; }

/// Null if there is no field of that name.
const FieldSpec* find_field(const std::vector<FieldSpec>& fields, std::string_view name);

/// Throws Error(kind) that starts with `where` unless the fields make sense together: names unique, "ego_status" F32
/// [To, D] and "agent_pos" F32 [H, 2] among the samples', and "frames" [To] if and only if frames have fields.
void check_fields(const std::vector<FieldSpec>& sample_fields, const std::vector<FieldSpec>& frame_fields,
                  const std::string& where, ErrorKind kind);

/// The file's name of a table's shard: "samples-00012.safetensors".
std::string shard_name(Table table, int64_t index);

std::string to_json(const DatasetInfo& info);
/// `path` is for messages. Throws Error(ErrorKind::data) naming it and what is wrong.
DatasetInfo dataset_info_from_json(std::string_view text, const std::string& path);

}  // namespace bev
