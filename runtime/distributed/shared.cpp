#include "runtime/distributed/shared.h"

#include <algorithm>
#include <cstring>

#include "kernels/launch.h"
#include "kernels/sum_replicas.h"

namespace bev {

namespace {

/// The entries as bytes: length and characters of a name, sum, count.
std::vector<std::byte> packed(const MetricSums& sums) {
  std::vector<std::byte> out;
  const auto put = [&](const void* data, size_t bytes) {
    const auto* first = static_cast<const std::byte*>(data);
    out.insert(out.end(), first, first + bytes);
  };
  for (const MetricSums::Entry& entry : sums.entries) {
    const auto length = static_cast<int64_t>(entry.name.size());
    put(&length, sizeof length);
    put(entry.name.data(), entry.name.size());
    put(&entry.sum, sizeof entry.sum);
    put(&entry.count, sizeof entry.count);
  }
  return out;
}

void add_packed(const std::byte* data, int64_t bytes, MetricSums& sums) {
  const std::byte* const end = data + bytes;
  const auto get = [&](void* to, size_t count) {
    std::memcpy(to, data, count);
    data += count;
  };
  while (data < end) {
    int64_t length = 0;
    get(&length, sizeof length);
    std::string name(static_cast<size_t>(length), '\0');
    double sum = 0, count = 0;
    get(name.data(), name.size());
    get(&sum, sizeof sum);
    get(&count, sizeof count);
    sums.add(name, sum, count);
  }
}

}  // namespace

bool on_any_replica(Communicator& host, bool here, const char* name) {
  int64_t count = here ? 1 : 0;
  host.all_reduce(&count, 1, DType::i64, name);
  host.release_to(Stream{});
  return count > 0;
}

void sum_over_replicas(Communicator& host, MetricSums& sums) {
  const auto replicas = static_cast<size_t>(host.size());
  std::vector<std::byte> own = packed(sums);
  std::vector<int64_t> lengths(replicas, 0);
  const auto length = static_cast<int64_t>(own.size());
  host.all_gather(&length, lengths.data(), 1, DType::i64, "metrics' sizes");
  host.release_to(Stream{});
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  own.resize(static_cast<size_t>(longest));
  std::vector<std::byte> all(own.size() * replicas);
  host.all_gather(own.data(), all.data(), longest, DType::u8, "metrics");
  host.release_to(Stream{});
  sums.entries.clear();
  for (size_t rank = 0; rank < replicas; ++rank) add_packed(all.data() + rank * own.size(), lengths[rank], sums);
}

void average_statistics(Communicator& communicator, Context& context, ParameterStore& store) {
  std::vector<Parameter*> statistics;
  for (const auto& parameter : store.all()) {
    if (parameter->is_buffer && parameter->in_files) statistics.push_back(parameter.get());
  }
  communicator.wait_for(context.stream);
  for (const Parameter* buffer : statistics) {
    communicator.all_reduce(buffer->value.raw(), buffer->size(), buffer->value.dtype(), buffer->name.c_str());
  }
  communicator.release_to(context.stream);
  visit_float(context.dtype, [&]<class T>(T) {
    for (const Parameter* buffer : statistics) {
      const DivideBy<T> mean{.x = buffer->value.data<T>(), .divisor = static_cast<T>(communicator.size())};
      for_elements(context.stream, buffer->size(), mean);
    }
  });
}

void broadcast_values(Communicator& communicator, Context& context, ParameterStore& store, int root) {
  communicator.wait_for(context.stream);
  for (const Tensor& span : {store.trained_values(), store.other_values()}) {
    if (span.defined()) communicator.broadcast(span.raw(), span.size(), span.dtype(), root, "weights");
  }
  communicator.release_to(context.stream);
}

}  // namespace bev
