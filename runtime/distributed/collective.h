// A collective as a replica asked for it, and what carries it out where one device can reach the memory of all replicas
// (threads of a process): parts, one a replica, that may run at the same time and touch no element twice.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/stream.h"
#include "runtime/dtype.h"

namespace bev {

struct CollectiveCall {
  enum class Kind : uint8_t { all_reduce, reduce_scatter, all_gather, broadcast, barrier };
  Kind kind = Kind::barrier;
  const void* in = nullptr;
  void* out = nullptr;
  int64_t count = 0;
  DType type = DType::f32;
  int root = 0;
  std::string name;
  double ready = 0;  // on the replica's clock
  double asked = 0;  // on the machine's

  bool matches(const CollectiveCall& other) const;
  /// "all_reduce 'bucket 3' of 1024 F32"
  std::string text() const;
  /// Of the replica's span.
  int64_t bytes(int size) const;
  /// What each replica sends in a ring of `size`.
  double bytes_on_link(int size) const;
};

/// Part `rank` of a collective of calls.size() replicas. Sums are taken in the order of ranks.
void run_part(const Stream& stream, const std::vector<CollectiveCall>& calls, int rank);

}  // namespace bev
