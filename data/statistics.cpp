#include "data/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/file/safetensors.h"

namespace bev {

namespace {

/// One column's running moments (Welford 1962): exact enough for any number of samples, in their order.
struct Moments {
  double min = std::numeric_limits<double>::infinity(), max = -min;
  double mean = 0, squares = 0, count = 0;

  void add(double value) {
    min = std::min(min, value);
    max = std::max(max, value);
    count += 1;
    const double difference = value - mean;
    mean += difference / count;
    squares += difference * (value - mean);
  }
};

void add_rows(std::vector<Moments>& columns, const Tensor& field) {
  columns.resize(static_cast<size_t>(field.dim(-1)));
  const float* value = field.data<float>();
  for (int64_t row = field.size() / field.dim(-1); row > 0; --row) {
    for (Moments& column : columns) column.add(*value++);
  }
}

FieldStatistics result(const std::vector<Moments>& columns) {
  FieldStatistics out;
  for (const Moments& column : columns) {
    out.min.push_back(column.min);
    out.max.push_back(column.max);
    out.mean.push_back(column.mean);
    out.deviation.push_back(std::sqrt(column.squares / column.count));
  }
  return out;
}

}  // namespace

std::map<std::string, FieldStatistics> compute_statistics(const std::string& directory,
                                                          const std::vector<ShardInfo>& shards) {
  std::vector<Moments> actions, states;
  for (const ShardInfo& shard : shards) {
    if (shard.table != Table::samples) continue;
    const SafetensorsFile file = SafetensorsFile::open(directory + "/" + shard.file);
    add_rows(actions, file.tensor("agent_pos"));
    add_rows(states, file.tensor("ego_status"));
  }
  if (actions.empty() || actions[0].count == 0) fail(ErrorKind::data, "{}: holds no sample", directory);
  return {{"agent_pos", result(actions)}, {"ego_status", result(states)}};
}

}  // namespace bev
