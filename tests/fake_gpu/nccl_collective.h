// One collective of the pretended NCCL: what every rank brings to it, and what it computes when all have come.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bev::fake_gpu {

enum class CollectiveKind : uint8_t { all_reduce, reduce_scatter, all_gather, broadcast };

struct Collective {
  CollectiveKind kind;
  size_t count;  // as the call gives it
  ncclDataType_t type;
  ncclRedOp_t operation;  // of the first two
  int root;               // of a broadcast

  bool operator==(const Collective&) const = default;
  std::string text() const;
  /// Bytes at the rank's buffers.
  size_t sent(int ranks) const;
  size_t received(int ranks) const;
};

/// 0: not a type that is pretended.
size_t bytes_of(ncclDataType_t type);
bool is_pretended(ncclRedOp_t operation);

struct Buffers {
  const std::byte* send = nullptr;
  std::byte* receive = nullptr;
};

/// What in-place operations permit, and nothing else that shares memory; misuse otherwise.
void check_overlap(const Collective& what, int rank, int ranks, const Buffers& own);

/// Fills the receive buffers of all ranks. Ranks are added up in an order that differs from one stretch of elements to
/// the next, as rings do.
void perform(const Collective& what, const std::vector<Buffers>& ranks);

}  // namespace bev::fake_gpu
