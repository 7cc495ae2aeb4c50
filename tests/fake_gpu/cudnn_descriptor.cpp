#include "tests/fake_gpu/cudnn_descriptor.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "tests/fake_gpu/real_library.h"

namespace bev::fake_gpu {

namespace {

using Type = cudnnBackendAttributeType_t;
using Name = cudnnBackendAttributeName_t;
using Shared = std::shared_ptr<CudnnDescriptor>;

struct Registry {
  std::mutex mutex;
  std::map<cudnnBackendDescriptor_t, Shared> living;
};
Registry& registry() {
  static auto* const out = new Registry;
  return *out;
}

size_t bytes_of(Type type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
      return 8;
    case CUDNN_TYPE_CHAR:
    case CUDNN_TYPE_BOOLEAN:
      return 1;
    case CUDNN_TYPE_HANDLE:
      misuse("cudnnBackendSetAttribute: a handle in a descriptor is deprecated, and not pretended");
    default:
      return 4;  // enums, int32 and float
  }
}

auto* real_set() { return real(&cudnnBackendSetAttribute, "cudnnBackendSetAttribute"); }
auto* real_get() { return real(&cudnnBackendGetAttribute, "cudnnBackendGetAttribute"); }

/// A plan as text: what it computes, then what the real library writes of it.
constexpr std::string_view mark = "pretended ";

cudnnStatus_t set_plan_text(CudnnDescriptor& plan, const std::string& text) {
  const size_t end = text.find('|');
  if (!text.starts_with(mark) || end == std::string::npos) return CUDNN_STATUS_BAD_PARAM;
  const auto work = CudnnConvolution::read(text.substr(mark.size(), end - mark.size()));
  if (!work) return CUDNN_STATUS_BAD_PARAM;
  const auto status = real_set()(plan.real_one.get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                 static_cast<int64_t>(text.size() - end - 1), text.data() + end + 1);
  if (status == CUDNN_STATUS_SUCCESS) plan.work = std::make_shared<CudnnConvolution>(*work);
  return status;
}

cudnnStatus_t get_plan_text(const CudnnDescriptor& plan, int64_t room, int64_t* count, void* out) {
  int64_t length = 0;
  constexpr auto name = CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION;
  auto status = real_get()(plan.real_one.get(), name, CUDNN_TYPE_CHAR, 0, &length, nullptr);
  if (status != CUDNN_STATUS_SUCCESS) return status;
  std::string text(static_cast<size_t>(length), '\0');
  status = real_get()(plan.real_one.get(), name, CUDNN_TYPE_CHAR, length, &length, text.data());
  if (status != CUDNN_STATUS_SUCCESS) return status;
  text = std::string(mark) + plan.work->written() + "|" + text;
  if (count) *count = static_cast<int64_t>(text.size());
  if (room > 0) std::memcpy(out, text.data(), std::min(text.size(), static_cast<size_t>(room)));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t set_device(CudnnDescriptor& device, int ordinal) {
  const std::string json = json_of_device(ordinal);
  if (json.empty()) return CUDNN_STATUS_BAD_PARAM;
  device.device = ordinal;
  return real_set()(device.real_one.get(), CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                    static_cast<int64_t>(json.size()), json.data());
}

cudnnStatus_t get_offers(const CudnnDescriptor& heuristic, int64_t room, int64_t* count, void* out) {
  const auto offered = static_cast<int64_t>(heuristic.offered.size());
  if (count) *count = room == 0 ? offered : std::min(room, offered);
  auto* const handles = static_cast<cudnnBackendDescriptor_t*>(out);
  for (int64_t i = 0; i < std::min(room, offered); ++i) {
    const Shared to = descriptor_of("cudnnBackendGetAttribute (RESULTS)", handles[i]);
    if (to->type != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) return CUDNN_STATUS_BAD_PARAM;
    const CudnnDescriptor& from = *heuristic.offered[static_cast<size_t>(i)];
    to->real_one = from.real_one;
    to->work = from.work;
    to->finalized = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

/// What ours needs to know beside what the real one checks.
void complete(CudnnDescriptor& it) {
  it.finalized = true;
  if (it.type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) it.offered = offers_of(it);
  if (it.type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) return;
  const auto device = it.values.find(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  if (device != it.values.end()) it.device = device->second.others.at(0)->device;
  if (it.work) return;  // from text
  const auto& configured = it.other(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (!configured.work) misuse("cudnnBackendFinalize: a plan of an engine that no heuristic offered is not pretended");
  CudnnConvolution work = *configured.work;
  int64_t count = 0;
  real_get()(it.real_one.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &work.workspace);
  // Kernels that want rounded factors make copies of them.
  if (work.rounding == Rounding::tf32_nearest && work.workspace == 0) work.rounding = Rounding::tf32_truncated;
  it.work = std::make_shared<CudnnConvolution>(work);
}

}  // namespace

RealDescriptor make_real(cudnnBackendDescriptorType_t type, cudnnStatus_t& status) {
  cudnnBackendDescriptor_t raw = nullptr;
  status = real(&cudnnBackendCreateDescriptor, "cudnnBackendCreateDescriptor")(type, &raw);
  if (status != CUDNN_STATUS_SUCCESS) return nullptr;
  return {raw, real(&cudnnBackendDestroyDescriptor, "cudnnBackendDestroyDescriptor")};
}

const CudnnDescriptor::Value& CudnnDescriptor::value(cudnnBackendAttributeName_t name) const {
  const auto found = values.find(name);
  if (found == values.end()) misuse("a cuDNN descriptor lacks attribute " + std::to_string(name));
  return found->second;
}

Shared descriptor_of(const char* call, cudnnBackendDescriptor_t handle) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().living.find(handle);
  if (found == registry().living.end()) {
    misuse(std::string(call) + ": a descriptor that was never made or is destroyed");
  }
  return found->second;
}

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* out) {
  if (!out) return CUDNN_STATUS_BAD_PARAM;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  RealDescriptor behind = make_real(type, status);
  if (!behind) return status;
  Shared made(new CudnnDescriptor{.type = type, .real_one = std::move(behind), .values = {}});
  *out = made.get();
  const std::lock_guard lock(registry().mutex);
  registry().living[*out] = std::move(made);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t handle) {
  descriptor_of("cudnnBackendDestroyDescriptor", handle);
  const std::lock_guard lock(registry().mutex);
  registry().living.erase(handle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t handle, Name name, Type type, int64_t count,
                                       const void* values) {
  constexpr const char* call = "cudnnBackendSetAttribute";
  const Shared it = descriptor_of(call, handle);
  if (it->finalized) misuse("cudnnBackendSetAttribute: the descriptor is finalised");
  CudnnDescriptor::Value kept;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    std::vector<cudnnBackendDescriptor_t> behind;
    for (int64_t i = 0; i < count; ++i) {
      const Shared other = descriptor_of(call, static_cast<const cudnnBackendDescriptor_t*>(values)[i]);
      if (!other->finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
      behind.push_back(other->real_one.get());
      kept.others.push_back(other);
    }
    status = real_set()(it->real_one.get(), name, type, count, behind.data());
  } else {
    const auto* const first = static_cast<const std::byte*>(values);
    kept.bytes.assign(first, first + static_cast<size_t>(count) * bytes_of(type));
    if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION) {
      status = set_plan_text(*it, std::string(reinterpret_cast<const char*>(first), static_cast<size_t>(count)));
    } else if (name == CUDNN_ATTR_DEVICEPROP_DEVICE_ID) {
      if (type != CUDNN_TYPE_INT32 || count != 1) return CUDNN_STATUS_BAD_PARAM;
      status = set_device(*it, *static_cast<const int32_t*>(values));
    } else {
      status = real_set()(it->real_one.get(), name, type, count, values);
    }
  }
  if (status == CUDNN_STATUS_SUCCESS) it->values[name] = std::move(kept);
  return status;
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t handle, Name name, Type type, int64_t room,
                                       int64_t* count, void* out) {
  constexpr const char* call = "cudnnBackendGetAttribute";
  const Shared it = descriptor_of(call, handle);
  if (!it->finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && it->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) {
    return type == CUDNN_TYPE_BACKEND_DESCRIPTOR ? get_offers(*it, room, count, out) : CUDNN_STATUS_BAD_PARAM;
  }
  if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION && it->work) {
    return type == CUDNN_TYPE_CHAR ? get_plan_text(*it, room, count, out) : CUDNN_STATUS_BAD_PARAM;
  }
  if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR || !out) {
    return real_get()(it->real_one.get(), name, type, room, count, out);
  }
  std::vector<Shared> others;
  std::vector<cudnnBackendDescriptor_t> behind;
  for (int64_t i = 0; i < room; ++i) {
    others.push_back(descriptor_of(call, static_cast<cudnnBackendDescriptor_t*>(out)[i]));
    behind.push_back(others.back()->real_one.get());
  }
  int64_t filled = 0;
  const auto status = real_get()(it->real_one.get(), name, type, room, &filled, behind.data());
  if (count) *count = filled;
  if (status != CUDNN_STATUS_SUCCESS) return status;
  for (int64_t i = 0; i < std::min(room, filled); ++i) others[static_cast<size_t>(i)]->finalized = true;
  return status;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle) {
  const Shared it = descriptor_of("cudnnBackendFinalize", handle);
  if (it->finalized) misuse("cudnnBackendFinalize: the descriptor is finalised");
  const auto status = real(&cudnnBackendFinalize, "cudnnBackendFinalize")(it->real_one.get());
  if (status == CUDNN_STATUS_SUCCESS) complete(*it);
  return status;
}
