// Validation of one replica's share of the set with the averaged weights, and the sum over all replicas.
#pragma once

#include "runtime/replica.h"
#include "runtime/train/batch.h"
#include "runtime/train/task.h"

namespace bev {

/// Metrics over the whole validation set, exact for any number of replicas: each adds up its share, then sums and
/// counts are added. The same on every replica. A collective. The replica's values are the averaged weights meanwhile;
/// no memory is copied for that.
MetricSums validate(Replica& replica, ValidationSource& source);

}  // namespace bev
