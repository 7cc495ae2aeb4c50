// The batches of one replica: training without end, validation once through.
#pragma once

#include <memory>
#include <vector>

#include "data/batch_queue.h"
#include "data/sampler.h"

namespace bev {

/// Training batches. `options.batch_size` is the share's micro-batch.
class Loader final : public BatchSource {
 public:
  /// Throws Error(ErrorKind::runtime) if sampler and share speak of different global batches.
  Loader(std::shared_ptr<const Dataset> dataset, const Sampler& sampler, const Share& share, BatchQueueOptions options);

  const std::vector<FieldSpec>& fields() const override { return dataset_->fields(); }
  int64_t steps_an_epoch() const override { return sampler_.steps_an_epoch(); }
  /// Reading begins here, or with the first next().
  void seek(int64_t step) override;
  const Batch& next() override;
  double take_waiting_seconds() override { return queue_.take_waiting_seconds(); }

 private:
  std::shared_ptr<const Dataset> dataset_;
  Sampler sampler_;
  Share share_;
  bool started_ = false;
  BatchQueue queue_;
};

/// Validation batches of one of `replicas`: the replicas' contiguous parts of `samples` are as equal as can be.
class ValidationLoader final : public ValidationSource {
 public:
  ValidationLoader(std::shared_ptr<const Dataset> dataset, const std::vector<int64_t>& samples, int replica,
                   int replicas, const BatchQueueOptions& options);

  const std::vector<FieldSpec>& fields() const override { return dataset_->fields(); }
  int64_t samples() const override { return static_cast<int64_t>(mine_.size()); }
  void restart() override { queue_.seek(0, batches()); }
  const Batch* next() override { return queue_.next(); }

 private:
  int64_t batches() const;

  std::shared_ptr<const Dataset> dataset_;
  std::vector<int64_t> mine_;
  int64_t batch_size_;
  BatchQueue queue_;
};

/// The numbers of all samples of a set; or of `most` of them, evenly spread, if it has more (0: all).
std::vector<int64_t> samples_to_validate(const Dataset& dataset, int64_t most = 0);

}  // namespace bev
