// What devices say of themselves.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>

#include "tests/fake_gpu/settings.h"

using namespace bev::fake_gpu;

namespace {
bool there(int device) { return device >= 0 && device < settings().devices; }
}  // namespace

extern "C" {

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int device) {
  if (!there(device)) return answer(cudaErrorInvalidDevice, "cudaGetDeviceProperties");
  std::memset(out, 0, sizeof *out);
  std::snprintf(out->name, sizeof out->name, "pretended GPU");
  out->major = 9;
  out->minor = 0;
  out->totalGlobalMem = settings().memory;
  out->multiProcessorCount = 132;
  out->warpSize = 32;
  out->maxThreadsPerBlock = 1024;
  out->sharedMemPerBlock = 48 * 1024;
  out->memoryBusWidth = 5120;
  out->ECCEnabled = 1;
  out->pciBusID = device + 1;
  out->unifiedAddressing = 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int device) {
  if (!there(device)) return answer(cudaErrorInvalidDevice, "cudaDeviceGetAttribute");
  switch (name) {
    case cudaDevAttrClockRate:
      *value = 1980000;
      return cudaSuccess;
    case cudaDevAttrMemoryClockRate:
      *value = 2619000;
      return cudaSuccess;
    default:
      return answer(cudaErrorInvalidValue, "cudaDeviceGetAttribute");
  }
}
cudaError_t cudaDeviceGetPCIBusId(char* out, int length, int device) {
  if (!there(device)) return answer(cudaErrorInvalidDevice, "cudaDeviceGetPCIBusId");
  const int needed = std::snprintf(out, static_cast<size_t>(length), "0000:%02X:00.0", device + 1);
  return needed < length ? cudaSuccess : answer(cudaErrorInvalidValue, "cudaDeviceGetPCIBusId");
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  if (!there(device) || !there(peer)) return answer(cudaErrorInvalidDevice, "cudaDeviceCanAccessPeer");
  *can = device != peer;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  if (const cudaError_t status = need_context("cudaDeviceGetStreamPriorityRange")) return status;
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().devices > 0 ? 13000 : 0;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

}  // extern "C"
