// Launches. nvcc's stubs hand over what stands between <<< and >>>, and the kernel by the address of its stub, for
// which they have told the mangled name before main.
#include "tests/fake_gpu/kernels.h"

#include <cuda_runtime.h>
#include <cxxabi.h>
#include <dlfcn.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "tests/fake_gpu/block.h"
#include "tests/fake_gpu/fake_gpu.h"
#include "tests/fake_gpu/settings.h"

namespace bev::fake_gpu {

namespace {

std::map<std::string, Kernel>& bodies() {
  static auto* const out = new std::map<std::string, Kernel>;
  return *out;
}

struct Stub {
  std::string name;
  const Kernel* kernel = nullptr;  // null: not among the bodies
};
std::map<const void*, Stub>& stubs() {
  static auto* const out = new std::map<const void*, Stub>;
  return *out;
}
std::mutex mutex;  // of both: threads may start while libraries are loaded

std::string readable(const std::string& name) {
  int status = 0;
  char* const text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  const std::string out = text ? text : name;
  std::free(text);
  return out.substr(0, out.find('('));
}

struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local Configuration pushed;

bool valid(dim3 grid, dim3 block, size_t shared) {
  const auto within = [](dim3 d, unsigned x, unsigned y, unsigned z) {
    return d.x >= 1 && d.x <= x && d.y >= 1 && d.y <= y && d.z >= 1 && d.z <= z;
  };
  return within(grid, 0x7FFFFFFF, 65535, 65535) && within(block, 1024, 1024, 64) &&
         block.x * block.y * block.z <= 1024 && shared <= 48 * 1024;
}

cudaError_t launch(const Stub& stub, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t stream) {
  const std::string name = readable(stub.name);
  if (const cudaError_t status = need_context(name.c_str())) return status;
  if (!valid(grid, block, shared)) return answer(cudaErrorInvalidConfiguration, name.c_str());
  if (!stub.kernel) misuse("kernel " + name + " was not compiled for the pretended GPU");
  if (device_of(stream, name.c_str()) != current_device()) return answer(cudaErrorInvalidResourceHandle, name.c_str());
  static std::atomic<uint64_t> launches = 0;
  const uint64_t seed = (settings().seed + launches++) * 0x9E3779B97F4A7C15u;
  enqueue(stream, name, [=, kernel = stub.kernel, kept = stub.kernel->keep(arguments)] {
    run_grid(grid, block, kernel->run, kept.get(), seed);
  });
  return cudaSuccess;
}

}  // namespace

bool make_known(const Kernel& kernel) {
  Dl_info symbol = {};
  if (!dladdr(kernel.body, &symbol) || !symbol.dli_sname) misuse("a kernel's body has no name");
  const std::lock_guard lock(mutex);
  return bodies().emplace(symbol.dli_sname, kernel).second;
}

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

extern "C" {

void** __cudaRegisterFatBinary(void*) {
  static void* nothing = nullptr;
  return &nothing;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* stub, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  const std::lock_guard lock(mutex);
  const auto found = bodies().find(name);
  stubs()[stub] = {name, found == bodies().end() ? nullptr : &found->second};
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  pushed = {grid, block, shared, stream};
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *static_cast<cudaStream_t*>(stream) = pushed.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
  const std::lock_guard lock(mutex);
  const auto found = stubs().find(stub);
  if (found == stubs().end()) return answer(cudaErrorInvalidDeviceFunction, "a launch");
  *kernel = reinterpret_cast<cudaKernel_t>(&found->second);
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  return launch(*reinterpret_cast<const Stub*>(kernel), grid, block, arguments, shared, stream);
}

}  // extern "C"
