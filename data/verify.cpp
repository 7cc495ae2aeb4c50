#include "data/verify.h"

#include <mutex>

#include "data/finite.h"
#include "data/parallel.h"
#include "data/statistics.h"
#include "runtime/file/checksum.h"

namespace bev {

namespace {

constexpr size_t most_problems_a_shard = 20;

/// Problems of the numbers in rows `first` .. `first + rows - 1`.
void check_numbers(const Dataset& dataset, const ShardInfo& shard, int64_t first, std::vector<std::string>& problems) {
  for (int64_t row = first; row < first + shard.rows && problems.size() < most_problems_a_shard; ++row) {
    for (const FieldSpec& field : dataset.info().fields_of(shard.table)) {
      const Tensor values = dataset.row(shard.table, row, field.name);
      const int64_t bad = first_not_finite(values.dtype(), values.raw(), values.size());
      if (bad < 0) continue;
      problems.push_back(fmt::format("{}/{}: field {} of row {} of the {} is not finite at element {}",
                                     dataset.directory(), shard.file, field.name, row, name_of(shard.table), bad));
    }
    if (shard.table != Table::samples) continue;
    try {
      dataset.frames(row);
    } catch (const Error& error) {
      problems.push_back(error.what());
    }
  }
}

}  // namespace

Verification verify_dataset(const Dataset& dataset, int threads, const ProgressCallback& progress) {
  const DatasetInfo& info = dataset.info();
  std::vector<int64_t> first;  // row of each shard
  int64_t rows[2] = {0, 0};
  for (const ShardInfo& shard : info.shards) {
    first.push_back(rows[static_cast<int>(shard.table)]);
    rows[static_cast<int>(shard.table)] += shard.rows;
  }

  std::vector<std::vector<std::string>> problems(info.shards.size());  // of each shard
  Verification result;
  std::mutex mutex;
  int64_t done = 0;
  parallel_for(static_cast<int64_t>(info.shards.size()), threads, [&](int64_t i) {
    const ShardInfo& shard = info.shards[static_cast<size_t>(i)];
    std::vector<std::string>& found = problems[static_cast<size_t>(i)];
    const FileChecksum sum = checksum_of_file(dataset.directory() + "/" + shard.file);
    if (sum != FileChecksum{shard.bytes, shard.crc32}) {
      found.push_back(
          fmt::format("{}/{}: its checksum is {:08x}, expected {:08x}: the bytes are not those that were written",
                      dataset.directory(), shard.file, sum.crc32, shard.crc32));
    }
    check_numbers(dataset, shard, first[static_cast<size_t>(i)], found);
    const std::scoped_lock lock(mutex);
    result.bytes += sum.bytes;
    if (progress) progress(++done, static_cast<int64_t>(info.shards.size()));
  });
  for (const auto& found : problems) result.problems.insert(result.problems.end(), found.begin(), found.end());

  if (result.problems.empty()) {
    for (const auto& [name, expected] : compute_statistics(dataset.directory(), info.shards)) {
      if (expected == info.statistics.at(name)) continue;
      result.problems.push_back(
          fmt::format("{}/dataset.json: the statistics of {} are not those of its shards", dataset.directory(), name));
    }
  }
  return result;
}

}  // namespace bev
