// Stacks that one thread switches between.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if defined(__x86_64__)
// Saves what a called function must keep on the stack that it leaves. ucontext's asks the kernel about signals each
// time, which takes a hundred times as long.
extern "C" void bev_fake_gpu_switch(void** leave, void* enter);
#endif

namespace bev::fake_gpu {

class Fiber {
 public:
  Fiber() = default;  // the thread's own stack
  /// One that begins with entry() when it is first entered; entry never returns. Lives as long as the process.
  explicit Fiber(void (*entry)()) {
    constexpr size_t guard = 4096, size = size_t{256} << 10;
    void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    mprotect(memory, guard, PROT_NONE);
#if defined(__x86_64__)
    // Not all at the same place of a page: they would share the few lines that a cache has for it.
    static thread_local size_t number = 0;
    const size_t shift = 64 + number++ % 64 * 576;
    auto* const top = reinterpret_cast<void**>(static_cast<std::byte*>(memory) + size - shift);
    top[-1] = nullptr;  // where a caller's address would be
    top[-2] = reinterpret_cast<void*>(entry);
    for (int i = 3; i <= 8; ++i) top[-i] = nullptr;  // the six registers
    stack_ = top - 8;
#else
    getcontext(&context_);
    context_.uc_stack.ss_sp = memory;
    context_.uc_stack.ss_size = size;
    makecontext(&context_, entry, 0);
#endif
  }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Leaves this one, until somebody enters it again.
  void leave_for(Fiber& other) {
#if defined(__x86_64__)
    bev_fake_gpu_switch(&stack_, other.stack_);
#else
    swapcontext(&context_, &other.context_);
#endif
  }

 private:
#if defined(__x86_64__)
  void* stack_ = nullptr;
#else
  ucontext_t context_;
#endif
};

}  // namespace bev::fake_gpu
