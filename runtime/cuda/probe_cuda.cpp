// The facts of the GPUs that CUDA finds, and the versions of its libraries.
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <cudnn.h>
#include <fmt/core.h>
#include <nccl.h>

#include <algorithm>
#include <cctype>

#include "runtime/cuda/nvml.h"
#include "runtime/device.h"
#include "runtime/probe.h"

namespace bev {

namespace {

constexpr int capability_at_least = 8;

/// "13.0.2" from 10000 major + 100 minor + patch, as cuBLAS 13, cuDNN 9 and NCCL 2.9 and newer count.
std::string dotted(int64_t code) {
  return code > 0 ? fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100) : "";
}

/// "13.0" from 1000 major + 10 minor, as CUDA itself counts.
std::string cuda_version(int code) { return code > 0 ? fmt::format("{}.{}", code / 1000, code / 10 % 100) : ""; }

int attribute(cudaDeviceAttr name, int ordinal) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, name, ordinal) == cudaSuccess) return value;
  cudaGetLastError();
  return 0;
}

GpuFacts facts_of(int ordinal) {
  GpuFacts gpu;
  gpu.ordinal = ordinal;
  cudaDeviceProp properties = {};
  cudaError_t status = cudaGetDeviceProperties(&properties, ordinal);
  if (status == cudaSuccess) {
    gpu.name = properties.name;
    gpu.capability_major = properties.major;
    gpu.capability_minor = properties.minor;
    gpu.memory_total = properties.totalGlobalMem;
    gpu.multiprocessors = properties.multiProcessorCount;
    gpu.ecc = properties.ECCEnabled != 0;
    gpu.memory_bus_bits = properties.memoryBusWidth;
    gpu.clock_mhz = attribute(cudaDevAttrClockRate, ordinal) / 1000;
    gpu.memory_clock_mhz = attribute(cudaDevAttrMemoryClockRate, ordinal) / 1000;
    char pci[32] = "";
    if (cudaDeviceGetPCIBusId(pci, sizeof pci, ordinal) == cudaSuccess) gpu.pci = pci;
    std::transform(gpu.pci.begin(), gpu.pci.end(), gpu.pci.begin(), [](unsigned char c) { return std::tolower(c); });
    if (properties.major < capability_at_least) {
      gpu.problem = fmt::format("its compute capability is {}.{}, expected {}.0 or newer", properties.major,
                                properties.minor, capability_at_least);
      return gpu;
    }
    status = cudaSetDevice(ordinal);  // makes a context: shows whether the GPU can be used at all
    if (status == cudaSuccess) status = cudaMemGetInfo(&gpu.memory_free, &gpu.memory_total);
  }
  if (status != cudaSuccess) {
    gpu.problem = fmt::format("{} (CUDA error {})", cudaGetErrorString(status), static_cast<int>(status));
    cudaGetLastError();
  }
  return gpu;
}

}  // namespace

CudaFacts probe_cuda() {
  CudaFacts out;
  int code = 0;
  if (cudaRuntimeGetVersion(&code) == cudaSuccess) out.cuda = cuda_version(code);
  code = 0;
  if (cudaDriverGetVersion(&code) == cudaSuccess) out.driver_cuda = cuda_version(code);
  out.cublaslt = dotted(static_cast<int64_t>(cublasLtGetVersion()));
  out.cudnn = dotted(static_cast<int64_t>(cudnnGetVersion()));
  code = 0;
  if (ncclGetVersion(&code) == ncclSuccess) out.nccl = dotted(code);

  const nvml::Library management;
  out.driver = management.driver_version();
  const CudaSurvey survey = survey_cuda();
  out.reason = survey.reason;
  int current = 0;
  const bool to_restore = survey.count > 0 && cudaGetDevice(&current) == cudaSuccess;
  std::vector<std::string> pci_ids;
  for (int i = 0; i < survey.count; ++i) pci_ids.push_back(out.gpus.emplace_back(facts_of(i)).pci);
  if (to_restore) cudaSetDevice(current);
  out.links = management.links(pci_ids);
  out.links_reason = management.problem();
  for (int i = 0; i < survey.count; ++i) {
    std::vector<bool>& row = out.peer_access.emplace_back();
    for (int j = 0; j < survey.count; ++j) {
      int can = 0;
      row.push_back(i == j || (cudaDeviceCanAccessPeer(&can, i, j) == cudaSuccess && can != 0));
    }
  }
  cudaGetLastError();
  return out;
}

}  // namespace bev
