// What training needs to know of a data set's numbers: the range of the actions, mean and deviation of the states.
#pragma once

#include <map>
#include <string>

#include "data/dataset_info.h"

namespace bev {

/// Statistics of "agent_pos" and "ego_status" over all rows of the sample shards in `directory`, in double; a function
/// of the files alone, so that whoever doubts dataset.json can compute them again. Throws Error(ErrorKind::data) if
/// there is no sample, or naming the shard that cannot be read.
std::map<std::string, FieldStatistics> compute_statistics(const std::string& directory,
                                                          const std::vector<ShardInfo>& shards);

}  // namespace bev
