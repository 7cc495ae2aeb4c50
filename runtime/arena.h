// The memory of one replica's steps. All activations, gradients of activations and workspaces live in one block that is
// reserved before the first step; allocation is bookkeeping on the host. The same sequence of requests yields the same
// addresses, so every training step finds its tensors where the last one did. Blocks are given back in stream order: a
// block may be handed out again while earlier kernels that use it are still queued on the same stream. Not thread-safe:
// one arena a replica. Tensors hold their arena alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/error.h"

namespace bev {

/// Memory ran out. `table()` lists what held the most at that moment, one line each.
class OutOfMemory : public Error {
 public:
  OutOfMemory(const std::string& message, std::string table)
      : Error(ErrorKind::runtime, message), table_(std::move(table)) {}
  const std::string& table() const { return table_; }

 private:
  std::string table_;
};

class Arena : public std::enable_shared_from_this<Arena> {
 public:
  static constexpr size_t alignment = 256;  // what cuDNN, cuBLASLt and AVX-512 want, with room

  /// Address space only: for dry runs, which never touch it. `peak()` then says what a real arena needs.
  static std::shared_ptr<Arena> dry();
  /// Host memory, reserved at once and committed by the system when first touched.
  static std::shared_ptr<Arena> on_host(size_t capacity);
  /// Memory that somebody else provides (device memory); `owner` keeps it alive.
  static std::shared_ptr<Arena> over(void* base, size_t capacity, std::shared_ptr<void> owner);

  /// `bytes` at an aligned address, given back when the last copy of the handle goes. Throws OutOfMemory.
  std::shared_ptr<void> allocate(size_t bytes);

  /// Names what asks for memory from here on, for the table of OutOfMemory and of the memory plan.
  void set_label(std::string_view label) {
    if (*label_ != label) label_ = &*labels_.emplace(label).first;
  }

  size_t capacity() const { return capacity_; }
  size_t in_use() const { return in_use_; }
  size_t peak() const { return peak_; }
  /// Where the highest block ended that was ever handed out: the capacity with which an arena serves the same requests
  /// at the same offsets. At least peak(), by what holes cost.
  size_t extent() const { return extent_; }

  struct Holding {
    std::string label;
    size_t bytes;
  };
  /// What is held now, summed by label, largest first.
  std::vector<Holding> holdings() const;
  /// What was held when the peak was reached, summed by label, largest first. Only for arenas that record it
  /// (`record_peak`).
  const std::vector<Holding>& holdings_at_peak() const { return at_peak_; }
  void record_peak(bool on) { record_peak_ = on; }

 private:
  Arena(std::byte* base, size_t capacity, std::shared_ptr<void> owner);
  void release(size_t offset);

  struct Block {
    size_t bytes;
    const std::string* label;
  };
  std::byte* base_;
  size_t capacity_;
  std::shared_ptr<void> owner_;
  std::map<size_t, size_t> free_;  // offset -> bytes, never two neighbours
  std::map<size_t, Block> used_;   // by offset
  size_t in_use_ = 0, peak_ = 0, extent_ = 0;
  std::set<std::string, std::less<>> labels_ = {""};  // addresses of its members stay valid
  const std::string* label_ = &*labels_.begin();
  bool record_peak_ = false;
  std::vector<Holding> at_peak_;
};

}  // namespace bev
