#include "tests/fake_gpu/settings.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "tests/fake_gpu/fake_gpu.h"

namespace bev::fake_gpu {

namespace {

thread_local int device = 0;
thread_local cudaError_t last_error = cudaSuccess;

std::array<std::atomic<const char*>, 8> contexts = {};  // by which call each came to be
std::array<std::atomic<int>, 6> things = {}, things_made = {};

uint64_t number(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// Told when the process ends, after what the program did at its end.
struct Report {
  ~Report() {
    if (!settings().report) return;
    std::string line = "contexts:";
    for (size_t i = 0; i < contexts.size(); ++i) {
      if (contexts[i]) line += fmt::format(" {} by {}", i, contexts[i].load());
    }
    constexpr std::array names = {
        "streams", "events", "graphs", "blocks of device memory", "blocks of pinned memory", "communicators"};
    for (size_t i = 0; i < names.size(); ++i) {
      if (things[i]) line += fmt::format("; left: {} {}", things[i].load(), names[i]);
    }
    say(line);
  }
} report;

}  // namespace

const Settings& settings() {
  static const Settings* const known = [] {
    auto* const out = new Settings;
    out->devices = static_cast<int>(std::min<uint64_t>(number("FAKE_GPU_COUNT", 2), contexts.size()));
    out->memory = number("FAKE_GPU_MEMORY", out->memory);
    out->seed = number("FAKE_GPU_SEED", out->seed);
    out->verbose = number("FAKE_GPU_VERBOSE", 0) != 0;
    out->guard = number("FAKE_GPU_GUARD", 0) != 0;
    out->report = number("FAKE_GPU_REPORT", 0) != 0;
    return out;
  }();
  return *known;
}

void say(const std::string& line) { std::fprintf(stderr, "pretended GPU: %s\n", line.c_str()); }

void misuse(const std::string& what) {
  say(what);
  std::abort();
}

cudaError_t answer(cudaError_t status, const char* call) {
  if (status != cudaSuccess) {
    last_error = status;
    if (settings().verbose && status != cudaErrorNotReady) say(std::string(call) + ": " + cudaGetErrorString(status));
  }
  return status;
}

int current_device() { return device; }

cudaError_t need_context(const char* call) {
  if (settings().devices == 0) return answer(cudaErrorNoDevice, call);
  const char* nobody = nullptr;
  contexts[static_cast<size_t>(device)].compare_exchange_strong(nobody, call);
  return cudaSuccess;
}

void count(Thing thing, int by) {
  things[static_cast<size_t>(thing)] += by;
  if (by > 0) things_made[static_cast<size_t>(thing)] += by;
}
int alive(Thing thing) { return things[static_cast<size_t>(thing)]; }
int made(Thing thing) { return things_made[static_cast<size_t>(thing)]; }
bool has_context(int ordinal) { return contexts[static_cast<size_t>(ordinal)] != nullptr; }

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

extern "C" {

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

// The real library's words, which need no driver.
const char* cudaGetErrorString(cudaError_t error) {
  static const auto real = reinterpret_cast<const char* (*)(cudaError_t)>(dlsym(RTLD_NEXT, "cudaGetErrorString"));
  return real ? real(error) : "an error of CUDA";
}
const char* cudaGetErrorName(cudaError_t error) {
  static const auto real = reinterpret_cast<const char* (*)(cudaError_t)>(dlsym(RTLD_NEXT, "cudaGetErrorName"));
  return real ? real(error) : "cudaError";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = settings().devices;
  return settings().devices == 0 ? answer(cudaErrorNoDevice, "cudaGetDeviceCount") : cudaSuccess;
}
cudaError_t cudaGetDevice(int* out) {
  if (settings().devices == 0) return answer(cudaErrorNoDevice, "cudaGetDevice");
  *out = device;
  return cudaSuccess;
}
// Since CUDA 12 this makes the device's context at once.
cudaError_t cudaSetDevice(int ordinal) {
  if (ordinal < 0 || ordinal >= settings().devices) return answer(cudaErrorInvalidDevice, "cudaSetDevice");
  device = ordinal;
  return need_context("cudaSetDevice");
}

}  // extern "C"
