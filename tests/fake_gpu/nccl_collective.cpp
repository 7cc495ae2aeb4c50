#include "tests/fake_gpu/nccl_collective.h"

#include <algorithm>
#include <cstring>

#include "tests/fake_gpu/products.h"
#include "tests/fake_gpu/real_library.h"

namespace bev::fake_gpu {

namespace {

constexpr size_t stretch = 512;  // elements whose sums begin with the same rank

template <class T>
T combined(ncclRedOp_t operation, T a, T b) {
  switch (operation) {
    case ncclProd:
      return static_cast<T>(a * b);
    case ncclMax:
      return std::max(a, b);
    case ncclMin:
      return std::min(a, b);
    default:
      return static_cast<T>(a + b);
  }
}

struct Bf16 {
  uint16_t bits;
};
Bf16 combined(ncclRedOp_t operation, Bf16 a, Bf16 b) {
  return {to_bf16(combined(operation, from_bf16(a.bits), from_bf16(b.bits)))};
}

template <class T>
std::vector<std::byte> reduced(ncclRedOp_t operation, const std::vector<Buffers>& ranks, size_t count) {
  std::vector<std::byte> out(count * sizeof(T));
  const size_t size = ranks.size();
  for (size_t i = 0; i < count; ++i) {
    const auto element = [&](size_t rank) {
      T x;
      std::memcpy(&x, ranks[rank].send + i * sizeof(T), sizeof x);
      return x;
    };
    const size_t first = i / stretch % size;
    T sum = element(first);
    for (size_t step = 1; step < size; ++step) sum = combined(operation, sum, element((first + step) % size));
    std::memcpy(out.data() + i * sizeof(T), &sum, sizeof sum);
  }
  return out;
}

std::vector<std::byte> reduced(const Collective& what, const std::vector<Buffers>& ranks, size_t count) {
  switch (what.type) {
    case ncclInt8:
      return reduced<int8_t>(what.operation, ranks, count);
    case ncclUint8:
      return reduced<uint8_t>(what.operation, ranks, count);
    case ncclInt32:
      return reduced<int32_t>(what.operation, ranks, count);
    case ncclUint32:
      return reduced<uint32_t>(what.operation, ranks, count);
    case ncclInt64:
      return reduced<int64_t>(what.operation, ranks, count);
    case ncclUint64:
      return reduced<uint64_t>(what.operation, ranks, count);
    case ncclFloat64:
      return reduced<double>(what.operation, ranks, count);
    case ncclBfloat16:
      return reduced<Bf16>(what.operation, ranks, count);
    default:
      return reduced<float>(what.operation, ranks, count);
  }
}

}  // namespace

size_t bytes_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

bool is_pretended(ncclRedOp_t operation) {
  return operation == ncclSum || operation == ncclProd || operation == ncclMax || operation == ncclMin;
}

std::string Collective::text() const {
  constexpr const char* names[] = {"ncclAllReduce", "ncclReduceScatter", "ncclAllGather", "ncclBroadcast"};
  return std::string(names[static_cast<size_t>(kind)]) + " of " + std::to_string(count) + " of type " +
         std::to_string(type) + (kind == CollectiveKind::broadcast ? " from rank " + std::to_string(root) : "");
}

size_t Collective::sent(int ranks) const {
  const size_t bytes = count * bytes_of(type);
  return kind == CollectiveKind::reduce_scatter ? bytes * static_cast<size_t>(ranks) : bytes;
}
size_t Collective::received(int ranks) const {
  const size_t bytes = count * bytes_of(type);
  return kind == CollectiveKind::all_gather ? bytes * static_cast<size_t>(ranks) : bytes;
}

void check_overlap(const Collective& what, int rank, int ranks, const Buffers& own) {
  if (what.kind == CollectiveKind::broadcast && rank != what.root) return;  // what it would send is not read
  const size_t own_part = static_cast<size_t>(rank) * what.count * bytes_of(what.type);
  const bool in_place = what.kind == CollectiveKind::reduce_scatter ? own.receive == own.send + own_part
                        : what.kind == CollectiveKind::all_gather   ? own.send == own.receive + own_part
                                                                    : own.send == own.receive;
  if (!in_place && overlap(own.send, what.sent(ranks), own.receive, what.received(ranks))) {
    misuse(what.text() + ": the buffers overlap, and not as in-place operations may");
  }
}

void perform(const Collective& what, const std::vector<Buffers>& ranks) {
  const size_t bytes = what.count * bytes_of(what.type);
  std::vector<std::byte> result;
  switch (what.kind) {
    case CollectiveKind::all_reduce:
      result = reduced(what, ranks, what.count);
      break;
    case CollectiveKind::reduce_scatter:
      result = reduced(what, ranks, what.count * ranks.size());
      break;
    case CollectiveKind::all_gather:
      for (const Buffers& rank : ranks) result.insert(result.end(), rank.send, rank.send + bytes);
      break;
    case CollectiveKind::broadcast:
      result.assign(ranks[static_cast<size_t>(what.root)].send, ranks[static_cast<size_t>(what.root)].send + bytes);
      break;
  }
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const bool scattered = what.kind == CollectiveKind::reduce_scatter;
    if (result.empty()) continue;
    std::memcpy(ranks[rank].receive, result.data() + (scattered ? rank * bytes : 0), scattered ? bytes : result.size());
  }
}

}  // namespace bev::fake_gpu
