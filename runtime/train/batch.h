// What a data set hands to a training step. The runtime knows no data set: a batch is named tensors in host memory and
// the identity of its samples.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tensor.h"

namespace bev {

/// One field of every sample: "ego_status" F32 [4, 14].
struct FieldSpec {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;  // of one sample
};

/// A micro-batch: every field is [size, ...shape of a sample]. Tensors share memory with whoever made the batch.
struct Batch {
  struct Field {
    std::string name;
    Tensor value;
  };
  std::vector<Field> fields;
  std::vector<int64_t> samples;  // their numbers in the data set; -1 pads an incomplete batch
  int64_t size = 0;

  /// Null if there is no such field.
  const Tensor* find(std::string_view name) const {
    for (const Field& field : fields) {
      if (field.name == name) return &field.value;
    }
    return nullptr;
  }
  /// Throws Error naming the field if it is missing.
  const Tensor& at(std::string_view name) const {
    if (const Tensor* value = find(name)) return *value;
    fail(ErrorKind::data, "the batch has no field {}: is it in the data set's dataset.json?", name);
  }
};

/// The part of a global step that one replica computes.
struct Share {
  int replica = 0, replicas = 1;
  int64_t micro_batch = 1;   // samples a replica and micro-step
  int64_t accumulation = 1;  // micro-steps an optimiser step
  int64_t global_batch() const { return replicas * micro_batch * accumulation; }
  /// Where, within the global batch, micro-step `micro` of this replica begins. The replicas' micro-batches of one
  /// micro-step lie side by side, so that together they are what one replica would compute in it: synchronised batch
  /// norm has the same statistics whatever the number of replicas.
  int64_t offset(int64_t micro) const { return (micro * replicas + replica) * micro_batch; }
};

/// The training batches of one replica. Which samples a global step has is a function of (seed, step) alone, whatever
/// the number of replicas; so the position is the step number, and resuming is seek(). Not thread-safe.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual const std::vector<FieldSpec>& fields() const = 0;
  /// Optimiser steps in an epoch: floor(samples / global batch); the rest of an epoch's permutation is dropped.
  virtual int64_t steps_an_epoch() const = 0;
  /// The next batch will be the first micro-step of optimiser step `step`, counted from 0 over all epochs.
  virtual void seek(int64_t step) = 0;
  /// The next micro-batch. Its memory stays valid until the call after the next one (double buffering). Throws
  /// Error(ErrorKind::data) naming shard and sample where data is damaged or not finite.
  virtual const Batch& next() = 0;
  /// Seconds that next() has waited for data since it was last asked.
  virtual double take_waiting_seconds() = 0;
};

/// One replica's share of a validation set, each sample exactly once: the replicas' shares together are the set. Not
/// thread-safe.
class ValidationSource {
 public:
  virtual ~ValidationSource() = default;
  virtual const std::vector<FieldSpec>& fields() const = 0;
  /// Samples of this replica's share; another replica's may be one more or less.
  virtual int64_t samples() const = 0;
  /// The next batch will be the first.
  virtual void restart() = 0;
  /// The next batch, the last one padded to full size with samples numbered -1 (zeros); null when all have been seen.
  /// Its memory stays valid as that of BatchSource::next(). Throws as that.
  virtual const Batch* next() = 0;
};

}  // namespace bev
