// The way of a batch to the device. On the CPU a batch is used where the loader put it. On a GPU it is copied on a
// stream of its own into one of two places in device memory, while the step before still computes: the loader's memory
// is pinned (Device::allocate_staging), so nothing waits but what has to.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "runtime/context.h"
#include "runtime/device.h"
#include "runtime/train/batch.h"

namespace bev {

/// The fields of a batch of `size` samples, each with uninitialised memory of the context's arena; samples numbered 0,
/// 1, ...
Batch batch_in_arena(Context& context, const std::vector<FieldSpec>& fields, int64_t size);

class Inputs {
 public:
  /// Takes device memory for two batches of `size` samples where the device is a GPU. `context.stream` may be dry.
  Inputs(Context& context, Device& device, const std::vector<FieldSpec>& fields, int64_t size);

  /// To be called before a source is asked for its next batch, which may write over the batch before the last one:
  /// waits on the host until that one has been copied.
  void before_next();
  /// The batch's fields in device memory, for work that is put on the compute stream from here on.
  const Batch& stage(const Batch& host);
  /// All work that reads the staged batch is on the compute stream.
  void release();
  /// The batches that stage() returns in turn, where it copies.
  std::vector<const Batch*> places() const;

 private:
  struct Slot {
    Batch batch;
    std::unique_ptr<Event> copied, used;
  };

  Context& context_;
  Device& device_;
  Stream copies_;
  std::array<Slot, 2> slots_;
  size_t next_ = 0;
};

}  // namespace bev
