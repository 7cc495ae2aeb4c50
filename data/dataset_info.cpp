#include "data/dataset_info.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/file/json.h"

namespace bev {

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* format_name = "bev_train data set";
constexpr int64_t most_rows = int64_t{1} << 40;

/// One object of dataset.json, with messages that say which.
class Reader {
 public:
  Reader(const json& value, std::string where) : value_(value), where_(std::move(where)) {
    if (!value.is_object()) fail(ErrorKind::data, "{}: expected a JSON object, found {}", where_, brief(value));
  }

  const json& at(const char* key) const {
    const auto it = value_.find(key);
    if (it == value_.end()) fail(ErrorKind::data, "{}: \"{}\" is missing", where_, key);
    return *it;
  }
  std::string text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string()) wrong(key, "a string");
    return value.get<std::string>();
  }
  int64_t count(const char* key, int64_t most = most_rows) const {
    const json& value = at(key);
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(most)) {
      wrong(key, fmt::format("a whole number from 0 to {}", most));
    }
    return value.get<int64_t>();
  }
  const json& array(const char* key) const {
    const json& value = at(key);
    if (!value.is_array()) wrong(key, "an array");
    return value;
  }
  [[noreturn]] void wrong(const char* key, const std::string& expected) const {
    fail(ErrorKind::data, "{}: \"{}\" is {}, expected {}", where_, key, brief(at(key)), expected);
  }
  const std::string& where() const { return where_; }

 private:
  const json& value_;
  std::string where_;
};

std::vector<FieldSpec> read_fields(const Reader& reader, const char* key) {
  std::vector<FieldSpec> fields;
  for (const json& value : reader.array(key)) {
    const Reader field(value, fmt::format("{}: {}[{}]", reader.where(), key, fields.size()));
    FieldSpec spec{.name = field.text("name"), .dtype = DType::f32, .shape = {}};
    const auto dtype = dtype_named(field.text("dtype"));
    if (!dtype) field.wrong("dtype", "F32, F64, BF16, U8, I32 or I64");
    spec.dtype = *dtype;
    const json& sizes = field.array("shape");
    double elements = 1;
    for (const json& size : sizes) {
      if (!size.is_number_unsigned() || size.get<uint64_t>() == 0 || size.get<uint64_t>() > 1u << 30) {
        field.wrong("shape", "positive whole numbers");
      }
      elements *= size.get<double>();
    }
    // A batch adds two dimensions, and a row must fit into memory many times.
    if (sizes.size() > Shape::max_rank - 2 || elements > 1 << 30) field.wrong("shape", "at most 4 sizes, 2^30 in all");
    for (const json& size : sizes) spec.shape.append(size.get<int64_t>());
    fields.push_back(std::move(spec));
  }
  return fields;
}

ShardInfo read_shard(const Reader& reader) {
  ShardInfo shard;
  const std::string table = reader.text("table");
  if (table != "samples" && table != "frames") reader.wrong("table", "\"samples\" or \"frames\"");
  shard.table = table == "samples" ? Table::samples : Table::frames;
  shard.file = reader.text("file");
  if (shard.file.empty() || shard.file.find('/') != std::string::npos || shard.file[0] == '.') {
    reader.wrong("file", "the name of a file in the same directory");
  }
  shard.rows = reader.count("rows");
  shard.bytes = static_cast<uint64_t>(reader.count("bytes", int64_t{1} << 50));
  const std::string crc = reader.text("crc32");
  const auto [end, error] = std::from_chars(crc.data(), crc.data() + crc.size(), shard.crc32, 16);
  if (crc.size() != 8 || error != std::errc() || end != crc.data() + 8)
    reader.wrong("crc32", "eight hexadecimal digits");
  return shard;
}

std::vector<double> read_numbers(const Reader& reader, const char* key, size_t count) {
  const json& values = reader.array(key);
  std::vector<double> numbers;
  for (const json& value : values) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) reader.wrong(key, "finite numbers");
    numbers.push_back(value.get<double>());
  }
  if (numbers.size() != count) reader.wrong(key, fmt::format("{} numbers, as the field has columns", count));
  return numbers;
}

std::map<std::string, FieldStatistics> read_statistics(const json& value, const DatasetInfo& info,
                                                       const std::string& where) {
  const Reader reader(value, where);
  std::map<std::string, FieldStatistics> statistics;
  for (const auto& [name, numbers] : value.items()) {
    const FieldSpec* const field = find_field(info.sample_fields, name);
    if (!field || field->shape.rank() == 0) {
      fail(ErrorKind::data, "{}: {} is not a field of a sample", where, brief(name));
    }
    const size_t columns = static_cast<size_t>(field->shape[-1]);
    const Reader one(numbers, fmt::format("{}: {}", where, name));
    statistics[name] = {.min = read_numbers(one, "min", columns),
                        .max = read_numbers(one, "max", columns),
                        .mean = read_numbers(one, "mean", columns),
                        .deviation = read_numbers(one, "std", columns)};
  }
  for (const char* name : {"agent_pos", "ego_status"}) reader.at(name);
  return statistics;
}

/// Throws unless the shards hold as many rows as the tables have.
void check_rows(const DatasetInfo& info, const std::string& path) {
  int64_t rows[2] = {0, 0};
  std::set<std::string> files;
  for (const ShardInfo& shard : info.shards) {
    rows[static_cast<int>(shard.table)] += shard.rows;
    if (!files.insert(shard.file).second) fail(ErrorKind::data, "{}: lists the shard {} twice", path, shard.file);
    if (info.fields_of(shard.table).empty()) {
      fail(ErrorKind::data, "{}: shard {} is of a table without fields", path, shard.file);
    }
  }
  const int64_t expected[2] = {info.samples, info.frames};
  for (const Table table : {Table::samples, Table::frames}) {
    const int i = static_cast<int>(table);
    if (rows[i] != expected[i]) {
      fail(ErrorKind::data, "{}: its shards hold {} {}, but \"{}\" says {}", path, rows[i], name_of(table),
           name_of(table), expected[i]);
    }
  }
}

ordered_json fields_to_json(const std::vector<FieldSpec>& fields) {
  ordered_json out = ordered_json::array();
  for (const FieldSpec& field : fields) {
    out.push_back({{"name", field.name},
                   {"dtype", name_of(field.dtype)},
                   {"shape", std::vector<int64_t>(field.shape.begin(), field.shape.end())}});
  }
  return out;
}

}  // namespace

std::string_view name_of(Table table) { return table == Table::samples ? "samples" : "frames"; }

const FieldSpec* find_field(const std::vector<FieldSpec>& fields, std::string_view name) {
  for (const FieldSpec& field : fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

void check_fields(const std::vector<FieldSpec>& sample_fields, const std::vector<FieldSpec>& frame_fields,
                  const std::string& where, ErrorKind kind) {
  std::set<std::string_view> names;
  for (const auto* fields : {&sample_fields, &frame_fields}) {
    for (const FieldSpec& field : *fields) {
      if (field.name.empty() || !names.insert(field.name).second) {
        fail(kind, "{}: the field name {} is empty or taken", where, brief(field.name));
      }
      if (field.shape.rank() > Shape::max_rank - 2) {
        fail(kind, "{}: field {} has {} dimensions, at most {} are possible", where, field.name, field.shape.rank(),
             Shape::max_rank - 2);
      }
    }
  }
  const auto describe = [](const FieldSpec* field) {
    return field ? fmt::format("it is {} {}", name_of(field->dtype), field->shape.text()) : "it is missing";
  };
  const FieldSpec* const state = find_field(sample_fields, "ego_status");
  if (!state || state->dtype != DType::f32 || state->shape.rank() != 2) {
    fail(kind, "{}: samples need a field ego_status F32 [observed steps, state values]; {}", where, describe(state));
  }
  const FieldSpec* const future = find_field(sample_fields, "agent_pos");
  if (!future || future->dtype != DType::f32 || future->shape.rank() != 2 || future->shape[1] != 2) {
    fail(kind, "{}: samples need a field agent_pos F32 [future steps, 2]; {}", where, describe(future));
  }
  const FieldSpec* const frames = find_field(sample_fields, "frames");
  if ((frames != nullptr) != !frame_fields.empty()) {
    fail(kind, "{}: samples have a field \"frames\" if and only if there are frames", where);
  }
  if (frames && (!is_integer(frames->dtype) || frames->shape != Shape{state->shape[0]})) {
    fail(kind, "{}: the field \"frames\" must be I32 or I64 [{}], as ego_status has steps; {}", where, state->shape[0],
         describe(frames));
  }
  for (const FieldSpec& field : frame_fields) {
    if (is_integer(field.dtype))
      fail(kind, "{}: frame field {} is an integer: such belong to samples", where, field.name);
  }
}

std::string shard_name(Table table, int64_t index) {
  return fmt::format("{}-{:05}.safetensors", name_of(table), index);
}

std::string to_json(const DatasetInfo& info) {
  ordered_json out;
  out["format"] = format_name;
  out["version"] = DatasetInfo::version;
  out["samples"] = info.samples;
  out["frames"] = info.frames;
  out["sample_fields"] = fields_to_json(info.sample_fields);
  out["frame_fields"] = fields_to_json(info.frame_fields);
  out["statistics"] = ordered_json::object();
  for (const auto& [name, numbers] : info.statistics) {
    out["statistics"][name] = {
        {"min", numbers.min}, {"max", numbers.max}, {"mean", numbers.mean}, {"std", numbers.deviation}};
  }
  out["provenance"] = info.provenance;
  out["shards"] = ordered_json::array();
  for (const ShardInfo& shard : info.shards) {
    out["shards"].push_back({{"table", name_of(shard.table)},
                             {"file", shard.file},
                             {"rows", shard.rows},
                             {"bytes", shard.bytes},
                             {"crc32", fmt::format("{:08x}", shard.crc32)}});
  }
  return out.dump(2) + "\n";
}

DatasetInfo dataset_info_from_json(std::string_view text, const std::string& path) {
  const json root = parse_json(text, path);
  const Reader reader(root, path);
  if (reader.text("format") != format_name) reader.wrong("format", fmt::format("\"{}\"", format_name));
  if (reader.count("version") != DatasetInfo::version) {
    reader.wrong("version", fmt::format("{}: the data set is of another version of the program", DatasetInfo::version));
  }
  DatasetInfo info;
  info.samples = reader.count("samples");
  info.frames = reader.count("frames");
  info.sample_fields = read_fields(reader, "sample_fields");
  info.frame_fields = read_fields(reader, "frame_fields");
  check_fields(info.sample_fields, info.frame_fields, path, ErrorKind::data);
  for (const json& shard : reader.array("shards")) {
    info.shards.push_back(read_shard(Reader(shard, fmt::format("{}: shards[{}]", path, info.shards.size()))));
  }
  check_rows(info, path);
  info.statistics = read_statistics(reader.at("statistics"), info, path + ": statistics");
  const json& provenance = reader.at("provenance");
  if (!provenance.is_object()) reader.wrong("provenance", "an object of strings");
  for (const auto& [key, value] : provenance.items()) {
    if (!value.is_string()) reader.wrong("provenance", "an object of strings");
    info.provenance[key] = value.get<std::string>();
  }
  return info;
}

}  // namespace bev
