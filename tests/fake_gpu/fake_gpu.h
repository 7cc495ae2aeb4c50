// What the parts of the pretended GPU share. See README.md here.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <string>

namespace bev::fake_gpu {

/// Appends work to a stream, as a launch does; recorded as a graph node while the stream is captured, and then run
/// once for every launch of the graph.
void enqueue(cudaStream_t stream, std::string name, std::function<void()> work);

/// Ends the process with one line that names the call: for misuse that a real GPU might not even report.
[[noreturn]] void misuse(const std::string& what);

/// Whether bytes at memory lie in one living cudaMalloc block of the current device, or in pinned host memory.
bool is_device_memory(const void* memory, size_t bytes);

/// The device that a living stream was made on. Misuse, by the name of `call`, where there is no such stream.
int device_of(cudaStream_t stream, const char* call);

/// Whether the stream is being captured.
bool is_captured(cudaStream_t stream);

/// Misuse where the thread captures a graph, in which `call` is not permitted.
void refuse_in_capture(const char* call);

}  // namespace bev::fake_gpu
