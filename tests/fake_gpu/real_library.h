// What the pretended libraries leave to the real ones: whatever these do without a GPU (descriptors and what may be in
// them, a convolution's plans for a described GPU, texts of errors).
#pragma once

#include <dlfcn.h>

#include "tests/fake_gpu/fake_gpu.h"

namespace bev::fake_gpu {

/// The definition that this library's own stands before. `pretended` tells the type only.
template <class Function>
Function* real(Function* /*pretended*/, const char* name) {
  auto* const found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
  if (!found) misuse(std::string(name) + ": the program is not linked to the library that has it");
  return found;
}

inline void require_device_memory(const std::string& call, const char* what, const void* memory, size_t bytes) {
  if (bytes == 0 || is_device_memory(memory, bytes)) return;
  misuse(call + ": " + what + " (" + std::to_string(bytes) +
         " bytes) is not within a living block of the current device");
}

inline bool overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const auto *first = static_cast<const char*>(a), *second = static_cast<const char*>(b);
  return a_bytes > 0 && b_bytes > 0 && first < second + b_bytes && second < first + a_bytes;
}

}  // namespace bev::fake_gpu
