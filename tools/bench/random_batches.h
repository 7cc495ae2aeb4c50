// Batches of the shapes that a configuration speaks of, filled with random numbers: a training step costs the same on
// them as on data, and no data set is needed. What a value is depends on (seed, field, batch, element) alone.
#pragma once

#include <array>
#include <vector>

#include "data/batch_memory.h"
#include "model/policy_config.h"
#include "runtime/train/batch.h"

namespace bev {

/// Numbers of unit variance, evenly distributed; trajectories evenly in the action range; bytes evenly.
void fill_randomly(const Batch& batch, const PolicyConfig& policy, uint64_t seed, uint32_t number);

/// Endless: two batches, made beforehand, take turns, so that no time goes into making them.
class RandomBatches final : public BatchSource {
 public:
  RandomBatches(const PolicyConfig& policy, const std::vector<FieldSpec>& fields, int64_t batch, uint64_t seed,
                const HostAllocator& allocate);

  const std::vector<FieldSpec>& fields() const override { return fields_; }
  int64_t steps_an_epoch() const override { return 1 << 20; }
  void seek(int64_t step) override { next_ = static_cast<size_t>(step % 2); }
  const Batch& next() override;
  double take_waiting_seconds() override { return 0; }

 private:
  std::vector<FieldSpec> fields_;
  std::array<Batch, 2> batches_;
  size_t next_ = 0;
};

}  // namespace bev
