#include "runtime/arena.h"

#include <sys/mman.h>

#include <algorithm>

namespace bev {

namespace {

constexpr size_t dry_capacity = size_t{1} << 46;
constexpr uintptr_t dry_base = uintptr_t{1} << 46;  // never mapped in a 47-bit user address space below the stack's end

size_t rounded(size_t bytes) {
  return std::max((bytes + Arena::alignment - 1) / Arena::alignment, size_t{1}) * Arena::alignment;
}

}  // namespace

Arena::Arena(std::byte* base, size_t capacity, std::shared_ptr<void> owner)
    : base_(base), capacity_(capacity), owner_(std::move(owner)) {
  free_[0] = capacity;
}

std::shared_ptr<Arena> Arena::dry() {
  return std::shared_ptr<Arena>(new Arena(reinterpret_cast<std::byte*>(dry_base), dry_capacity, nullptr));
}

std::shared_ptr<Arena> Arena::on_host(size_t capacity) {
  capacity = rounded(capacity);
  void* base = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    fail(ErrorKind::runtime,
         "cannot reserve {:.1f} GiB of host memory for a replica's steps: reduce dataloader.batch_size",
         static_cast<double>(capacity) / (1 << 30));
  }
  madvise(base, capacity, MADV_HUGEPAGE);  // only a hint: fewer page faults and TLB misses where the system grants it
  std::shared_ptr<void> owner(base, [capacity](void* memory) { munmap(memory, capacity); });
  return over(base, capacity, std::move(owner));
}

std::shared_ptr<Arena> Arena::over(void* base, size_t capacity, std::shared_ptr<void> owner) {
  return std::shared_ptr<Arena>(new Arena(static_cast<std::byte*>(base), capacity, std::move(owner)));
}

std::shared_ptr<void> Arena::allocate(size_t bytes) {
  const size_t wanted = rounded(bytes);
  // Best fit among the holes, the lowest address among equals: little is wasted by steps that repeat. The end of the
  // arena comes last, however small it is, so that offsets do not depend on the capacity.
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    const bool hole = it->first + it->second < capacity_;
    if (it->second >= wanted && (best == free_.end() || (hole && it->second < best->second))) best = it;
  }
  if (best == free_.end()) {
    std::string table;
    for (const Holding& holding : holdings()) {
      table += fmt::format("{:>10.1f} MiB  {}\n", static_cast<double>(holding.bytes) / (1 << 20), holding.label);
    }
    throw OutOfMemory(fmt::format("{}: {:.1f} MiB more are needed, but {:.1f} of {:.1f} MiB are in use", *label_,
                                  static_cast<double>(wanted) / (1 << 20), static_cast<double>(in_use_) / (1 << 20),
                                  static_cast<double>(capacity_) / (1 << 20)),
                      table);
  }
  const auto [offset, available] = *best;
  free_.erase(best);
  if (available > wanted) free_[offset + wanted] = available - wanted;
  used_[offset] = {wanted, label_};
  in_use_ += wanted;
  extent_ = std::max(extent_, offset + wanted);
  if (in_use_ > peak_) {
    peak_ = in_use_;
    if (record_peak_) at_peak_ = holdings();
  }
  // The handle keeps the arena alive, so that a tensor can never outlive its memory.
  return {base_ + offset, [arena = shared_from_this(), start = offset](void*) { arena->release(start); }};
}

void Arena::release(size_t offset) {
  const auto block = used_.find(offset);
  size_t start = offset, bytes = block->second.bytes;
  in_use_ -= bytes;
  used_.erase(block);
  auto next = free_.lower_bound(start);
  if (next != free_.end() && start + bytes == next->first) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == start) {
      before->second += bytes;
      return;
    }
  }
  free_[start] = bytes;
}

std::vector<Arena::Holding> Arena::holdings() const {
  std::map<std::string, size_t> sums;
  for (const auto& [offset, block] : used_) sums[*block.label] += block.bytes;
  std::vector<Holding> out;
  for (const auto& [label, bytes] : sums) out.push_back({label, bytes});
  std::stable_sort(out.begin(), out.end(), [](const Holding& a, const Holding& b) { return a.bytes > b.bytes; });
  return out;
}

}  // namespace bev
