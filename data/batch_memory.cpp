#include "data/batch_memory.h"

#include <algorithm>
#include <new>

namespace bev {

HostAllocator plain_host_memory() {
  return [](size_t bytes) {
    constexpr std::align_val_t alignment{64};
    void* const memory = ::operator new(std::max(bytes, size_t{1}), alignment);
    return std::shared_ptr<void>(memory, [](void* block) { ::operator delete(block, alignment); });
  };
}

Batch allocate_batch(const std::vector<FieldSpec>& fields, int64_t size, const HostAllocator& allocate) {
  Batch batch;
  batch.size = size;
  batch.samples.assign(static_cast<size_t>(size), -1);
  for (const FieldSpec& field : fields) {
    Shape shape{size};
    for (const int64_t length : field.shape) shape.append(length);
    const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(field.dtype);
    batch.fields.push_back({field.name, Tensor(allocate(bytes), shape, field.dtype)});
  }
  return batch;
}

}  // namespace bev
