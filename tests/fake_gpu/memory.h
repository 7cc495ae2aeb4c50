// The memory of devices, and pinned memory of the host. Each block has its own mapping, with closed pages around it:
// what runs past its end ends the process, and so does what uses it after it was freed, since addresses are not used
// again. Fresh memory is full of 0xFF: NaN as floats, -1 as integers.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bev::fake_gpu {

struct Block {
  uintptr_t begin = 0;
  size_t bytes = 0;
  int device = 0;  // pinned: of the host
};
constexpr int pinned = -1;

/// The living block that holds the address.
std::optional<Block> block_at(const void* memory);

/// What is said of an address in messages.
std::string describe(const void* memory);

/// Bytes of a device that are free.
size_t free_memory(int device);

/// While any lives, device memory is open to all (FAKE_GPU_GUARD).
class OpenMemory {
 public:
  OpenMemory();
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
};

/// What a worker is doing, for the message when it touches what it must not.
void set_doing(const std::string* name);

}  // namespace bev::fake_gpu
