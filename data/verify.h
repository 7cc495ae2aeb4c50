// The slow check of a data set: every byte.
#pragma once

#include "data/dataset.h"
#include "data/progress.h"

namespace bev {

struct Verification {
  std::vector<std::string> problems;  // one line each, at most 20 a shard; empty: all is well
  uint64_t bytes = 0;                 // that were read
};

/// Compares every shard with its checksum and looks at every number: finite, frames that exist; computes the statistics
/// again. `threads` shards at a time.
Verification verify_dataset(const Dataset& dataset, int threads, const ProgressCallback& progress = {});

}  // namespace bev
