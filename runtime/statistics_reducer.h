// The seam of synchronised batch norm: sums of a few numbers a channel over the images of all replicas, in the middle
// of a step. Whoever runs several replicas gives each one's Context a reducer; ops know nothing of communicators.
#pragma once

#include <cstdint>

#include "kernels/stream.h"
#include "runtime/dtype.h"

namespace bev {

class StatisticsReducer {
 public:
  virtual ~StatisticsReducer() = default;
  virtual int replicas() const = 0;
  /// Sum over replicas, in place, ordered on `stream`: after the work that is on it, before what follows. Every replica
  /// calls it equally often, in the same order; the order of summation is that of ranks.
  virtual void all_reduce(const Stream& stream, void* data, int64_t count, DType type) = 0;
};

}  // namespace bev
