#include "tests/fake_gpu/memory.h"

#include <fmt/core.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "tests/fake_gpu/fake_gpu.h"
#include "tests/fake_gpu/settings.h"
#include "tests/fake_gpu/streams.h"

namespace bev::fake_gpu {

namespace {

constexpr size_t page = 4096, alignment = 256, granule = 512, context_bytes = size_t{64} << 20;

std::mutex mutex;  // of the next four
std::map<uintptr_t, Block> living;
std::map<uintptr_t, Block> gone;
std::array<size_t, 8> used = {};
int opened = 0;

thread_local const std::string* doing = nullptr;

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

/// Bytes from a file that is all 0xFF: pages are copied when they are written, so that what is not used costs nothing.
constexpr size_t filling_bytes = size_t{16} << 20;
int filling() {
  static const int file = [] {
    const int out = memfd_create("fake_gpu", MFD_CLOEXEC);
    const std::vector<char> bytes(filling_bytes, static_cast<char>(0xFF));
    if (out < 0 || write(out, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      misuse("no memory for fresh memory's contents");
    }
    return out;
  }();
  return file;
}

/// A block whose end is at a closed page. Null where the host has no more.
void* map_block(size_t bytes) {
  const size_t size = round_up(bytes, page);
  void* const all = mmap(nullptr, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  auto* const inner = static_cast<std::byte*>(all) + page;
  for (size_t at = 0; at < size; at += filling_bytes) {
    if (mmap(inner + at, std::min(filling_bytes, size - at), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, filling(), 0) == MAP_FAILED) {
      return nullptr;
    }
  }
  return inner + size - round_up(bytes, alignment);
}

void protect(const Block& block, int rights) {
  const uintptr_t begin = block.begin / page * page;
  mprotect(reinterpret_cast<void*>(begin), round_up(block.begin + block.bytes, page) - begin, rights);
}

/// Back to the system; the addresses stay closed.
void unmap_block(const Block& block) {
  const uintptr_t begin = block.begin / page * page;
  mmap(reinterpret_cast<void*>(begin), round_up(block.begin + block.bytes, page) - begin, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

struct sigaction before;

void on_fault(int number, siginfo_t* info, void* context) {
  say((doing ? *doing : std::string("host code")) + " touches " + describe(info->si_addr));
  if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(number, info, context);
  sigaction(number, &before, nullptr);  // by default: the instruction is tried again, and ends the process
}

/// Again and again, since test frameworks put their own handler there: theirs is called after this one.
void watch_faults() {
  struct sigaction own = {}, now = {};
  sigaction(SIGSEGV, nullptr, &now);
  if (now.sa_sigaction == &on_fault) return;
  before = now;
  own.sa_sigaction = &on_fault;
  own.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &own, nullptr);
}

std::optional<Block> find(const std::map<uintptr_t, Block>& blocks, uintptr_t address, size_t beyond) {
  auto at = blocks.upper_bound(address);
  if (at == blocks.begin()) return std::nullopt;
  --at;
  if (address - at->first >= at->second.bytes + beyond) return std::nullopt;
  return at->second;
}

cudaError_t take(void** out, size_t bytes, int device) {
  if (bytes == 0) {
    *out = nullptr;
    return cudaSuccess;
  }
  watch_faults();
  const std::lock_guard lock(mutex);
  if (device >= 0) {
    size_t& of_device = used[static_cast<size_t>(device)];
    const size_t total = settings().memory > context_bytes ? settings().memory - context_bytes : 0;
    if (round_up(bytes, granule) > total - of_device) return cudaErrorMemoryAllocation;
    of_device += round_up(bytes, granule);
  }
  void* const memory = map_block(bytes);
  if (!memory) return cudaErrorMemoryAllocation;
  const Block block{reinterpret_cast<uintptr_t>(memory), bytes, device};
  living[block.begin] = block;
  if (settings().guard && opened == 0 && device >= 0) protect(block, PROT_NONE);
  count(device >= 0 ? Thing::block : Thing::pinned, 1);
  *out = memory;
  return cudaSuccess;
}

cudaError_t give_back(void* memory, bool of_device, const char* call) {
  if (!memory) return cudaSuccess;
  if (const cudaError_t status = unsafe_in_capture(call)) return status;
  const auto block = block_at(memory);
  if (!block || block->begin != reinterpret_cast<uintptr_t>(memory) || (block->device >= 0) != of_device) {
    misuse(std::string(call) + " of " + describe(memory));
  }
  wait_for_all_streams();  // as the real ones do
  const std::lock_guard lock(mutex);
  if (of_device) used[static_cast<size_t>(block->device)] -= round_up(block->bytes, granule);
  living.erase(block->begin);
  gone[block->begin] = *block;
  unmap_block(*block);
  count(of_device ? Thing::block : Thing::pinned, -1);
  return cudaSuccess;
}

/// Taking memory may wait for all that GPUs do, and here it does.
cudaError_t may_allocate(const char* call) {
  if (const cudaError_t status = need_context(call)) return status;
  if (const cudaError_t status = unsafe_in_capture(call)) return status;
  wait_for_all_streams();
  return cudaSuccess;
}

}  // namespace

std::optional<Block> block_at(const void* memory) {
  const std::lock_guard lock(mutex);
  return find(living, reinterpret_cast<uintptr_t>(memory), 0);
}

std::string describe(const void* memory) {
  const std::unique_lock lock(mutex, std::try_to_lock);
  if (!lock) return fmt::format("{}", memory);
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const auto place = [&](const Block& block) {
    return fmt::format("{} bytes into {} of {} bytes", address - block.begin,
                       block.device == pinned ? "pinned memory" : fmt::format("memory of GPU {}", block.device),
                       block.bytes);
  };
  if (const auto block = find(living, address, 2 * page)) return fmt::format("{}, {}", memory, place(*block));
  if (const auto block = find(gone, address, 2 * page)) return fmt::format("{}, freed: {}", memory, place(*block));
  return fmt::format("{}, no memory of a GPU, and not pinned", memory);
}

size_t free_memory(int device) {
  const std::lock_guard lock(mutex);
  const size_t of_all = settings().memory, own = used[static_cast<size_t>(device)] + context_bytes;
  return of_all > own ? of_all - own : 0;
}

bool is_device_memory(const void* memory, size_t bytes) {
  const auto block = block_at(memory);
  return block && (block->device == pinned || block->device == current_device()) &&
         reinterpret_cast<uintptr_t>(memory) + bytes <= block->begin + block->bytes;
}

void set_doing(const std::string* name) { doing = name; }

OpenMemory::OpenMemory() {
  if (!settings().guard) return;
  const std::lock_guard lock(mutex);
  if (opened++ > 0) return;
  for (const auto& [begin, block] : living) {
    if (block.device >= 0) protect(block, PROT_READ | PROT_WRITE);
  }
}
OpenMemory::~OpenMemory() {
  if (!settings().guard) return;
  const std::lock_guard lock(mutex);
  if (--opened > 0) return;
  for (const auto& [begin, block] : living) {
    if (block.device >= 0) protect(block, PROT_NONE);
  }
}

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

extern "C" {

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  if (const cudaError_t status = may_allocate("cudaMalloc")) return status;
  return answer(take(memory, bytes, current_device()), "cudaMalloc");
}
cudaError_t cudaFree(void* memory) { return give_back(memory, true, "cudaFree"); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  if (const cudaError_t status = may_allocate("cudaMallocHost")) return status;
  return answer(take(memory, bytes, pinned), "cudaMallocHost");
}
cudaError_t cudaFreeHost(void* memory) { return give_back(memory, false, "cudaFreeHost"); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (const cudaError_t status = need_context("cudaMemGetInfo")) return status;
  *free = free_memory(current_device());
  *total = settings().memory;
  return cudaSuccess;
}

}  // extern "C"
