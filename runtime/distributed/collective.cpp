#include "runtime/distributed/collective.h"

#include "kernels/launch.h"
#include "kernels/sum_replicas.h"

namespace bev {

namespace {

using Kind = CollectiveCall::Kind;

constexpr std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::all_reduce:
      return "all_reduce";
    case Kind::reduce_scatter:
      return "reduce_scatter";
    case Kind::all_gather:
      return "all_gather";
    case Kind::broadcast:
      return "broadcast";
    case Kind::barrier:
      return "barrier";
  }
  return "?";
}

/// The inputs and outputs of one part, all of `count` elements.
struct Spans {
  std::vector<const std::byte*> in;
  std::vector<std::byte*> out;
  int64_t count = 0;
};

template <class T>
void sum(const Stream& stream, const Spans& spans) {
  SumReplicas<T> kernel{.in = {},
                        .out = {},
                        .ins = static_cast<int>(spans.in.size()),
                        .outs = static_cast<int>(spans.out.size()),
                        .n = spans.count};
  for (size_t r = 0; r < spans.in.size(); ++r) kernel.in[r] = reinterpret_cast<const T*>(spans.in[r]);
  for (size_t r = 0; r < spans.out.size(); ++r) kernel.out[r] = reinterpret_cast<T*>(spans.out[r]);
  for_rows(stream, kernel.rows(spans.count), kernel.width, kernel);
}

void sum(const Stream& stream, DType type, const Spans& spans) {
  switch (type) {
    case DType::f32:
      return sum<float>(stream, spans);
    case DType::f64:
      return sum<double>(stream, spans);
    case DType::i64:
      return sum<int64_t>(stream, spans);
    default:
      fail(ErrorKind::runtime, "replicas cannot sum {}: expected F32, F64 or I64", name_of(type));
  }
}

/// The bits, whatever their type: eight bytes at a time where everything lies on such a boundary.
void copy(const Stream& stream, DType type, Spans spans) {
  spans.count *= static_cast<int64_t>(size_of(type));
  uintptr_t all = static_cast<uintptr_t>(spans.count) | reinterpret_cast<uintptr_t>(spans.in[0]);
  for (const std::byte* out : spans.out) all |= reinterpret_cast<uintptr_t>(out);
  if (all % sizeof(int64_t) != 0) return sum<uint8_t>(stream, spans);
  spans.count /= static_cast<int64_t>(sizeof(int64_t));
  sum<int64_t>(stream, spans);
}

}  // namespace

bool CollectiveCall::matches(const CollectiveCall& other) const {
  return kind == other.kind && count == other.count && type == other.type && root == other.root && name == other.name;
}

std::string CollectiveCall::text() const {
  if (kind == Kind::barrier) return fmt::format("barrier '{}'", name);
  return fmt::format("{} '{}' of {} {}", name_of(kind), name, count, bev::name_of(type));
}

int64_t CollectiveCall::bytes(int size) const {
  const int64_t one = count * static_cast<int64_t>(size_of(type));
  return kind == Kind::reduce_scatter || kind == Kind::all_gather ? one * size : one;
}

double CollectiveCall::bytes_on_link(int size) const {
  if (kind == Kind::broadcast) return size > 1 ? static_cast<double>(bytes(size)) : 0;
  const double passes = kind == Kind::all_reduce ? 2 : 1;
  return passes * static_cast<double>(bytes(size)) * (size - 1) / size;
}

void run_part(const Stream& stream, const std::vector<CollectiveCall>& calls, int rank) {
  const CollectiveCall& own = calls[static_cast<size_t>(rank)];
  const int64_t size = static_cast<int64_t>(calls.size()), each = static_cast<int64_t>(size_of(own.type));
  // A replica's slice of a span that all hold: on whole cache lines, so that neighbours do not share one.
  const auto edge = [&](int64_t r) { return r == size ? own.count : own.count * r / size / 64 * 64; };
  const int64_t first = edge(rank);
  Spans spans;
  switch (own.kind) {
    case Kind::all_reduce:
      if (size == 1) return;
      spans.count = edge(rank + 1) - first;
      for (const CollectiveCall& call : calls) {
        std::byte* slice = static_cast<std::byte*>(call.out) + first * each;
        spans.in.push_back(slice);
        spans.out.push_back(slice);
      }
      return sum(stream, own.type, spans);
    case Kind::reduce_scatter:
      spans.count = own.count;
      for (const CollectiveCall& call : calls) {
        spans.in.push_back(static_cast<const std::byte*>(call.in) + own.count * rank * each);
      }
      spans.out.push_back(static_cast<std::byte*>(own.out));
      return sum(stream, own.type, spans);
    case Kind::all_gather:
      spans.count = own.count;
      spans.in.push_back(static_cast<const std::byte*>(own.in));
      for (const CollectiveCall& call : calls) {
        spans.out.push_back(static_cast<std::byte*>(call.out) + own.count * rank * each);
      }
      std::erase(spans.out, spans.in[0]);
      return copy(stream, own.type, spans);
    case Kind::broadcast:
      spans.count = edge(rank + 1) - first;
      spans.in.push_back(static_cast<const std::byte*>(calls[static_cast<size_t>(own.root)].out) + first * each);
      for (const CollectiveCall& call : calls) spans.out.push_back(static_cast<std::byte*>(call.out) + first * each);
      std::erase(spans.out, spans.in[0]);
      return copy(stream, own.type, spans);
    case Kind::barrier:
      return;
  }
}

}  // namespace bev
