// What the environment says, and what each thread remembers of CUDA.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace bev::fake_gpu {

struct Settings {
  int devices = 2;                  // FAKE_GPU_COUNT, 0 to 8
  size_t memory = size_t{2} << 30;  // FAKE_GPU_MEMORY, bytes of each
  uint64_t seed = 1;                // FAKE_GPU_SEED; 0: streams do not dawdle
  bool verbose = false;             // FAKE_GPU_VERBOSE: errors that calls return are told, with the call
  bool guard = false;               // FAKE_GPU_GUARD: memory of devices is closed to all but what runs on streams
  bool report = false;              // FAKE_GPU_REPORT: what is left at exit
};
const Settings& settings();

/// Returns `status`, having kept it as the thread's last error if it is one.
cudaError_t answer(cudaError_t status, const char* call);

/// The thread's.
int current_device();

/// The current device gets a context, as it does by the first call that needs one. No device: cudaErrorNoDevice.
cudaError_t need_context(const char* call);

/// Writes a line to stderr.
void say(const std::string& line);

/// Counts something that is made (+1) or given back (-1), for FAKE_GPU_REPORT and tests.
enum class Thing { stream, event, graph, block, pinned, communicator };
void count(Thing thing, int by);
int alive(Thing thing);
int made(Thing thing);
/// Whether a device has a context: somebody asked something of CUDA while it was current.
bool has_context(int device);

}  // namespace bev::fake_gpu
