// Synchronised batch norm's sums, in the middle of forward and backward: over the communicator that buckets of
// gradients go over too. A GPU must not have collectives of two communicators under way at once, since another GPU may
// have begun with the other one. So sums take their turn behind the buckets that backward has completed by then: the
// same ones on every replica, since it is the tape that completes them.
#pragma once

#include "runtime/distributed/communicator.h"
#include "runtime/statistics_reducer.h"

namespace bev {

class CommunicatedStatistics final : public StatisticsReducer {
 public:
  /// `communicator` reaches the device's memory and outlives this; one that a recorder keeps in place, where there is
  /// one.
  explicit CommunicatedStatistics(Communicator& communicator) : communicator_(communicator) {}
  int replicas() const override { return communicator_.size(); }
  void all_reduce(const Stream& stream, void* data, int64_t count, DType type) override {
    communicator_.wait_for(stream);
    communicator_.all_reduce(data, count, type, "batch norm");
    communicator_.release_to(stream);
  }

 private:
  Communicator& communicator_;
};

/// In the reducer's place where replicas do not meet, as in a dry run or a warm-up: it says how many there are, so that
/// what depends on their number is as in a step, and sums nothing.
class UnsummedStatistics final : public StatisticsReducer {
 public:
  explicit UnsummedStatistics(int replicas) : replicas_(replicas) {}
  int replicas() const override { return replicas_; }
  void all_reduce(const Stream&, void*, int64_t, DType) override {}

 private:
  int replicas_;
};

}  // namespace bev
