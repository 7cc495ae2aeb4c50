// Small things that replicas say to each other. Each is a collective: every replica calls it, in the same order.
#pragma once

#include "runtime/context.h"
#include "runtime/distributed/communicator.h"
#include "runtime/parameter.h"
#include "runtime/train/task.h"

namespace bev {

/// Whether it is so on any replica; all get the same answer at the same point, so that all act on it alike. `host` is
/// over host memory, as below.
bool on_any_replica(Communicator& host, bool here, const char* name);

/// Sums and counts of all replicas, summed by name in the order of ranks. Replicas may know different names: all know
/// all afterwards, in the same order.
void sum_over_replicas(Communicator& host, MetricSums& sums);

/// Makes every running statistic of the store the mean over replicas. `communicator` reaches the device's memory; the
/// work is on the context's stream, and afterwards all replicas hold the same bits.
void average_statistics(Communicator& communicator, Context& context, ParameterStore& store);

/// Copies all values of the store, statistics included, from `root` to everybody.
void broadcast_values(Communicator& communicator, Context& context, ParameterStore& store, int root);

}  // namespace bev
