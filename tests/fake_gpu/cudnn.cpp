// cuDNN's handles, and the execution of plans on their streams.
#include <cudnn.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>

#include "tests/fake_gpu/cudnn_descriptor.h"
#include "tests/fake_gpu/real_library.h"

namespace bev::fake_gpu {

namespace {

struct Handle {
  int device;
  cudaStream_t stream = nullptr;  // the legacy default stream
};
struct Handles {
  std::mutex mutex;
  std::map<cudnnHandle_t, Handle> living;
};
Handles& handles() {
  static auto* const out = new Handles;
  return *out;
}

Handle& living(const char* call, cudnnHandle_t handle) {
  const auto found = handles().living.find(handle);
  if (found == handles().living.end()) misuse(std::string(call) + ": a handle that was never made or is destroyed");
  int current = -1;
  if (cudaGetDevice(&current) != cudaSuccess || current != found->second.device) {
    misuse(std::string(call) + ": a handle of device " + std::to_string(found->second.device) +
           " is used while device " + std::to_string(current) + " is current");
  }
  return found->second;
}

struct Call {
  std::shared_ptr<const CudnnConvolution> work;
  float *x = nullptr, *w = nullptr, *y = nullptr;
  std::byte* workspace = nullptr;
};

/// What the pack says of a plan's tensors and workspace, checked. Empty where it lacks one or has one too many.
std::optional<Call> arguments(const CudnnDescriptor& plan, const CudnnDescriptor& pack) {
  Call out{.work = plan.work};
  const std::string name = "cudnnBackendExecute: " + plan.work->text();
  const auto ids = pack.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto pointers = pack.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  if (ids.size() != pointers.size() || ids.size() != 3) return std::nullopt;
  const struct {
    const char* what;
    const CudnnTensor& tensor;
    float*& pointer;
  } tensors[] = {{"x", plan.work->x, out.x}, {"w", plan.work->w, out.w}, {"y", plan.work->y, out.y}};
  for (const auto& [what, tensor, pointer] : tensors) {
    if (std::count(ids.begin(), ids.end(), tensor.id) != 1) return std::nullopt;
    pointer =
        static_cast<float*>(pointers[static_cast<size_t>(std::find(ids.begin(), ids.end(), tensor.id) - ids.begin())]);
    require_device_memory(name, what, pointer, static_cast<size_t>(tensor.extent()) * sizeof(float));
    if (reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(tensor.alignment) != 0) {
      misuse(name + ": " + what + " is not aligned to " + std::to_string(tensor.alignment) +
             " bytes, as was described");
    }
  }
  const auto bytes = static_cast<size_t>(plan.work->workspace);
  if (bytes > 0) {
    if (!pack.values.contains(CUDNN_ATTR_VARIANT_PACK_WORKSPACE)) return std::nullopt;
    out.workspace = static_cast<std::byte*>(pack.one<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE));
    require_device_memory(name, "the workspace", out.workspace, bytes);
    if (reinterpret_cast<uintptr_t>(out.workspace) % 16 != 0) misuse(name + ": the workspace is not aligned");
  }
  for (const auto& [what, tensor, pointer] : tensors) {
    const size_t size = static_cast<size_t>(tensor.extent()) * sizeof(float);
    if (overlap(out.workspace, bytes, pointer, size)) misuse(name + ": the workspace lies over " + what);
    for (const auto& other : tensors) {
      const size_t other_size = static_cast<size_t>(other.tensor.extent()) * sizeof(float);
      if (&other.tensor != &tensor && overlap(pointer, size, other.pointer, other_size)) {
        misuse(name + ": " + what + " lies over " + other.what);
      }
    }
  }
  return out;
}

}  // namespace

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

cudnnStatus_t cudnnCreate(cudnnHandle_t* out) {
  int device = 0;
  if (!out) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (cudaGetDevice(&device) != cudaSuccess) return CUDNN_STATUS_NOT_INITIALIZED;
  const std::lock_guard lock(handles().mutex);
  *out = reinterpret_cast<cudnnHandle_t>(new char);
  handles().living[*out] = {.device = device};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  const std::lock_guard lock(handles().mutex);
  if (handles().living.erase(handle) == 0) misuse("cudnnDestroy: a handle that was never made or is destroyed");
  delete reinterpret_cast<char*>(handle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  const std::lock_guard lock(handles().mutex);
  Handle& it = living("cudnnSetStream", handle);
  if (stream && device_of(stream, "cudnnSetStream") != it.device) return CUDNN_STATUS_BAD_PARAM_STREAM_MISMATCH;
  it.stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan_handle,
                                  cudnnBackendDescriptor_t pack_handle) {
  constexpr const char* name = "cudnnBackendExecute";
  const auto plan = descriptor_of(name, plan_handle), pack = descriptor_of(name, pack_handle);
  if (plan->type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR || pack->type != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  if (!plan->finalized || !pack->finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  cudaStream_t stream = nullptr;
  {
    const std::lock_guard lock(handles().mutex);
    const Handle& it = living(name, handle);
    if (plan->device != it.device) misuse(std::string(name) + ": a plan for another device than the handle's");
    stream = it.stream;
  }
  const auto call = arguments(*plan, *pack);
  if (!call) return CUDNN_STATUS_BAD_PARAM;
  if (call->work->refuses) return CUDNN_STATUS_EXECUTION_FAILED;
  enqueue(stream, std::string(name) + " " + call->work->text(), [call = *call] {
    if (call.work->workspace > 0) std::memset(call.workspace, 0xff, static_cast<size_t>(call.work->workspace));
    compute(*call.work, call.x, call.w, call.y);
  });
  return CUDNN_STATUS_SUCCESS;
}
