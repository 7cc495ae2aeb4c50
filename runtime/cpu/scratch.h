// Memory that one call needs and the next may reuse: grows when a shape asks for more than any before, and never again.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace bev::cpu {

class Scratch {
 public:
  /// At least `bytes`, 64-byte aligned, with undefined contents; null for none. Valid until a larger request.
  void* get(size_t bytes) {
    if (bytes > bytes_) {
      const size_t unit = bytes < huge_page ? 4096 : huge_page, rounded = (bytes + unit - 1) / unit * unit;
      memory_.reset();
      bytes_ = 0;
      memory_.reset(std::aligned_alloc(unit, rounded));
      if (!memory_) throw std::bad_alloc();
      bytes_ = rounded;
      if (unit == huge_page) madvise(memory_.get(), rounded, MADV_HUGEPAGE);  // a hint: fewer TLB misses
    }
    return bytes == 0 ? nullptr : memory_.get();
  }

 private:
  static constexpr size_t huge_page = size_t{2} << 20;

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  size_t bytes_ = 0;
};

}  // namespace bev::cpu
