// A block's lanes as fibers of one thread. A lane runs until it meets a barrier, a shuffle or its end; then another one
// of its warp, and only when the warp cannot go on, another warp. Which one is first changes from time to time: where a
// barrier is missing a lane reads what others have not written yet, or overwrites what others have not read. Lanes that
// meet no barrier cost a call each.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace bev::fake_gpu {

/// Runs all blocks of a launch, one after the other, in an order that the seed gives. Misuse where a barrier is not
/// reached by all lanes of the block, or a shuffle not by all that its mask names.
void run_grid(dim3 grid, dim3 block, void (*lane)(const void*), const void* arguments, uint64_t seed);

}  // namespace bev::fake_gpu
