// Where batches live. Whoever loads data says how memory is had: pinned for a GPU, plain for the CPU.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/train/batch.h"

namespace bev {

/// Host memory of so many bytes, aligned to 64 at least, given back with the last handle.
using HostAllocator = std::function<std::shared_ptr<void>(size_t bytes)>;

/// Plain memory.
HostAllocator plain_host_memory();

/// A batch of `size` samples with memory for every field; neither numbers nor values are set.
Batch allocate_batch(const std::vector<FieldSpec>& fields, int64_t size, const HostAllocator& allocate);

}  // namespace bev
