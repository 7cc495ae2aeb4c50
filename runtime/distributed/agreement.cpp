#include "runtime/distributed/agreement.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "kernels/hash.h"
#include "kernels/launch.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

constexpr int64_t chunk_elements = 32768;

/// Of one hash a replica, who holds something else than most do (of equal parties, than replica 0's).
std::string dissenters(const std::vector<uint64_t>& hashes) {
  std::map<uint64_t, int> votes;
  for (const uint64_t hash : hashes) ++votes[hash];
  uint64_t accepted = hashes[0];
  for (const auto& [hash, count] : votes) {
    if (count > votes[accepted]) accepted = hash;
  }
  std::string out;
  for (size_t rank = 0; rank < hashes.size(); ++rank) {
    if (hashes[rank] != accepted) out += fmt::format("{}{}", out.empty() ? "" : ", ", rank);
  }
  return out;
}

/// Of as many hashes a replica, whose differ.
struct Differences {
  size_t first = 0;  // number of the first hash that differs
  std::string who;   // has another one there
  int64_t count = 0;
};

Differences differences(const std::vector<uint64_t>& own, Communicator& host, const char* name,
                        const std::function<bool(size_t)>& counts) {
  const size_t count = own.size(), replicas = static_cast<size_t>(host.size());
  std::vector<uint64_t> all(count * replicas);
  host.all_gather(own.data(), all.data(), static_cast<int64_t>(count), DType::i64, name);
  host.release_to(Stream{});
  Differences out;
  for (size_t i = 0; i < count; ++i) {
    if (!counts(i)) continue;
    std::vector<uint64_t> held(replicas);
    for (size_t rank = 0; rank < replicas; ++rank) held[rank] = all[rank * count + i];
    const std::string who = dissenters(held);
    if (who.empty()) continue;
    if (out.count++ == 0) out.first = i, out.who = who;
  }
  return out;
}

}  // namespace

void check_numbers(const std::vector<SharedNumber>& numbers, Communicator& host, const std::string& when) {
  std::vector<uint64_t> bits;
  for (const SharedNumber& number : numbers) {
    bits.push_back(
        std::bit_cast<uint64_t>(std::isnan(number.value) ? std::numeric_limits<double>::quiet_NaN() : number.value));
  }
  const Differences found = differences(bits, host, "numbers", [](size_t) { return true; });
  if (found.count == 0) return;
  fail(ErrorKind::disagreement, "replicas disagree {}: replica {} differs from the others in the {}", when, found.who,
       numbers[found.first].name);
}

std::vector<ReplicaAgreement::Item> ReplicaAgreement::items(const ParameterStore& store) {
  std::vector<Item> out;
  for (const auto& parameter : store.all()) {
    if (parameter->is_buffer && !parameter->in_files) continue;
    const Tensor value =
        parameter->trainable ? store.trained_values().part(parameter->offset, parameter->shape) : parameter->value;
    out.push_back({parameter->name, value, parameter->is_buffer});
  }
  return out;
}

std::vector<ReplicaAgreement::Item> ReplicaAgreement::gradients(const ParameterStore& store) {
  std::vector<Item> out;
  for (const Parameter* parameter : store.trained()) {
    out.push_back({"the gradient of " + parameter->name, parameter->gradient, false});
  }
  return out;
}

ReplicaAgreement::ReplicaAgreement(std::vector<Item> items, Context& context, Device& device, Communicator& host)
    : items_(std::move(items)), context_(context), device_(device), host_(host) {
  std::vector<HashChunk> chunks;
  for (size_t item = 0; item < items_.size(); ++item) {
    const Tensor& value = items_[item].value;
    elements_ += value.size();
    for (int64_t first = 0; first < value.size(); first += chunk_elements) {
      const auto* data =
          static_cast<const std::byte*>(value.raw()) + static_cast<size_t>(first) * size_of(value.dtype());
      chunks.push_back({.data = data, .first = first, .count = std::min(chunk_elements, value.size() - first)});
      item_of_chunk_.push_back(item);
    }
  }
  const Scope scope(context.tape, "agreement");
  chunks_ = context.empty({static_cast<int64_t>(chunks.size() * sizeof(HashChunk))}, DType::u8);
  chunk_hashes_ = context.empty({static_cast<int64_t>(chunks.size())}, DType::i64);
  write_to_device(device, context.stream, chunks_.raw(), chunks.data(), chunks.size() * sizeof(HashChunk));
}

std::vector<uint64_t> ReplicaAgreement::hashes() {
  const int64_t count = chunk_hashes_.size();
  visit_float(context_.dtype, [&]<class T>(T) {
    const HashChunks<T> kernel{.chunks = static_cast<const HashChunk*>(chunks_.raw()),
                               .hashes = static_cast<uint64_t*>(chunk_hashes_.raw()),
                               .elements = elements_};
    for_rows(context_.stream, count, chunk_elements, kernel);
  });
  const Tensor on_host = to_host(device_, context_.stream, chunk_hashes_);
  std::vector<uint64_t> out(items_.size(), 0);
  for (int64_t chunk = 0; chunk < count; ++chunk) {
    out[item_of_chunk_[static_cast<size_t>(chunk)]] += static_cast<uint64_t>(on_host.data<int64_t>()[chunk]);
  }
  return out;
}

void ReplicaAgreement::check(const std::string& when, bool with_statistics) {
  const Differences found = differences(hashes(), host_, "hashes of weights",
                                        [&](size_t item) { return with_statistics || !items_[item].statistics; });
  if (found.count == 0) return;
  fail(ErrorKind::disagreement,
       "replicas disagree {}: replica {} differs from the others in {} ({} of {} tensors differ)", when, found.who,
       items_[found.first].name, found.count, items_.size());
}

}  // namespace bev
