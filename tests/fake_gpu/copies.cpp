// Copies and memsets. Memory that is not pinned is read and written as late as CUDA allows: a copy to a device reads it
// when the stream gets there, a copy from a device has written it when the call returns.
#include <cstring>

#include "tests/fake_gpu/fake_gpu.h"
#include "tests/fake_gpu/memory.h"
#include "tests/fake_gpu/settings.h"

namespace bev::fake_gpu {

namespace {

/// Of a copy's end. Misuse where it begins in a block and leaves it.
std::optional<Block> checked(const void* memory, size_t bytes, const char* call) {
  const auto block = block_at(memory);
  if (block && reinterpret_cast<uintptr_t>(memory) + bytes > block->begin + block->bytes) {
    misuse(std::string(call) + " of " + std::to_string(bytes) + " bytes at " + describe(memory));
  }
  return block;
}

}  // namespace

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

extern "C" {

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  constexpr const char* call = "cudaMemcpyAsync";
  if (const cudaError_t status = need_context(call)) return status;
  if (bytes == 0) return cudaSuccess;
  const auto source = checked(from, bytes, call), target = checked(to, bytes, call);
  const bool from_device = source && source->device >= 0, to_device = target && target->device >= 0;
  const cudaMemcpyKind is = from_device ? (to_device ? cudaMemcpyDeviceToDevice : cudaMemcpyDeviceToHost)
                                        : (to_device ? cudaMemcpyHostToDevice : cudaMemcpyHostToHost);
  if (kind != cudaMemcpyDefault && kind != is) return answer(cudaErrorInvalidValue, call);
  const bool pageable = !source || !target;
  if (pageable && is_captured(stream)) {
    misuse("cudaMemcpyAsync of memory that is not pinned, into a graph: " + describe(source ? to : from));
  }
  const auto* const first = static_cast<const std::byte*>(from);
  auto* const second = static_cast<std::byte*>(to);
  if (first < second + bytes && second < first + bytes) misuse("cudaMemcpyAsync: source and target overlap");
  enqueue(stream, call, [=] { std::memcpy(to, from, bytes); });
  if (is == cudaMemcpyHostToHost || (pageable && is == cudaMemcpyDeviceToHost)) return cudaStreamSynchronize(stream);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  constexpr const char* call = "cudaMemsetAsync";
  if (const cudaError_t status = need_context(call)) return status;
  if (bytes == 0) return cudaSuccess;
  const auto block = checked(memory, bytes, call);
  if (!block) return answer(cudaErrorInvalidValue, call);
  if (block->device >= 0 && block->device != device_of(stream, call)) misuse("cudaMemsetAsync: another GPU's memory");
  enqueue(stream, call, [=] { std::memset(memory, value, bytes); });
  return cudaSuccess;
}

}  // extern "C"
