// What the generic training loop trains: a model with a loss, and a validation. One Task a replica, built on the
// replica's own ParameterStore.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/context.h"
#include "runtime/train/batch.h"

namespace bev {

/// Named (sum, count) pairs: summed over batches and replicas, a mean is exact for any number of either.
struct MetricSums {
  struct Entry {
    std::string name;
    double sum = 0, count = 0;
  };
  std::vector<Entry> entries;  // in the order of first use, the same on every replica

  void add(const std::string& name, double sum, double count) {
    for (Entry& entry : entries) {
      if (entry.name == name) {
        entry.sum += sum;
        entry.count += count;
        return;
      }
    }
    entries.push_back({name, sum, count});
  }
};

class Task {
 public:
  virtual ~Task() = default;

  /// Forward and loss of one micro-batch (fields in device memory): a scalar [1], the mean over its samples. Records on
  /// the context's tape. The same allocations and launches in every call; no host synchronisation. Random numbers come
  /// from context.state and context.next_random_place().
  virtual Variable loss(Context& context, const Batch& batch) = 0;

  /// Metrics of one validation batch, added to `sums`; the tape does not record, context.training is false. Samples
  /// numbered -1 are padding and do not count. May synchronise with the device. Random numbers depend on the sample's
  /// number alone. On a dry stream, where memory is planned: makes its allocations and launches, reads nothing back and
  /// adds nothing to `sums`.
  virtual void validate(Context& context, const Batch& batch, MetricSums& sums) = 0;
};

}  // namespace bev
