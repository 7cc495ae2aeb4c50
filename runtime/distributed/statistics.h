// Synchronised batch norm's sums over a communicator of their own: they run inside forward and backward, and must not
// take turns with the buckets of gradients, which become ready when they like.
#pragma once

#include "runtime/distributed/communicator.h"
#include "runtime/statistics_reducer.h"

namespace bev {

class CommunicatedStatistics final : public StatisticsReducer {
 public:
  /// `communicator` reaches the device's memory, is used for nothing else, and outlives this.
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
