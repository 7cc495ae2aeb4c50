// A stretch of a stream's work as a CUDA graph. Captured in the thread's own mode: what other threads do with CUDA
// meanwhile (loaders take pinned memory) is not refused.
#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "runtime/device.h"

namespace bev::cuda {

void begin_capture(cudaStream_t stream);
/// The graph, ready to be launched: what device memory it takes it has taken. Throws Error if the work was such that no
/// graph can hold it.
std::unique_ptr<Graph> end_capture(cudaStream_t stream);
/// Ends a capture, if there is one, whatever state it is in.
void abandon_capture(cudaStream_t stream) noexcept;

}  // namespace bev::cuda
