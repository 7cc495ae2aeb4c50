#include "runtime/distributed/reduction_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/launch.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

constexpr int64_t chunk_elements = 32768;

/// How far the weighted sum of sums may be from the total of the weighted sums of parts, where nothing is wrong but
/// rounding: of `count` elements summed over `replicas` in T, and then in double; `magnitude` is the total of all
/// parts' magnitudes. Weights are below 2; the last term is for hardware that takes subnormal numbers for zeros.
template <class T>
double rounding_of(int64_t count, int replicas, double magnitude) {
  const double terms = static_cast<double>(count), parts = static_cast<double>(replicas);
  const double in_t = (parts - 1) * static_cast<double>(std::numeric_limits<T>::epsilon()) / 2;
  const double in_double = (2 * terms + parts + 4) * std::numeric_limits<double>::epsilon() / 2;
  constexpr double of_higher_order = 1.01;
  return of_higher_order * 2 * magnitude * (in_t + in_double) +
         4 * terms * parts * static_cast<double>(std::numeric_limits<T>::min());
}

}  // namespace

ReductionCheck::ReductionCheck(const ParameterStore& store, const GradientReducer& reducer, Context& context,
                               Device& device, Communicator& host)
    : store_(store), reducer_(reducer), context_(context), device_(device), host_(host) {
  size_t parameter = 0;
  for (const SummedPart& part : reducer.parts()) {
    while (std::ssize(first_of_bucket_) <= part.bucket) first_of_bucket_.push_back(std::ssize(chunks_));
    const int64_t end = part.span.first + part.span.count;
    for (; parameter < store.trained().size(); ++parameter) {
      const Parameter& p = *store.trained()[parameter];
      append({parameter, part.bucket, part.owner}, std::max(p.offset, part.span.first),
             std::min(p.offset + p.size(), end));
      if (p.offset + p.size() > end) break;  // the next part goes on with it
    }
  }
  first_of_bucket_.push_back(std::ssize(chunks_));

  std::vector<SpanChunk> owned;
  for (const int64_t chunk : owned_) owned.push_back(chunks_[static_cast<size_t>(chunk)]);
  const Scope scope(context.tape, "agreement");
  const auto on_device = [&](const std::vector<SpanChunk>& chunks) {
    const size_t bytes = chunks.size() * sizeof(SpanChunk);
    const Tensor out = context.empty({static_cast<int64_t>(bytes)}, DType::u8);
    write_to_device(device, context.stream, out.raw(), chunks.data(), bytes);
    return out;
  };
  chunks_on_device_ = on_device(chunks_);
  owned_on_device_ = on_device(owned);
  parts_ = context.empty({std::ssize(chunks_), 2}, DType::f64);
  sums_ = context.empty({std::ssize(owned_), 2}, DType::f64);
}

void ReductionCheck::append(const Place& place, int64_t begin, int64_t end) {
  for (int64_t first = begin; first < end; first += chunk_elements) {
    if (place.owner == host_.rank() || place.owner == SummedPart::everybody) owned_.push_back(std::ssize(chunks_));
    chunks_.push_back({.first = first, .count = std::min(chunk_elements, end - first)});
    places_.push_back(place);
  }
}

void ReductionCheck::before(int64_t bucket) {
  const int64_t first = first_of_bucket_[static_cast<size_t>(bucket)];
  launch(chunks_on_device_, parts_, first, first_of_bucket_[static_cast<size_t>(bucket) + 1] - first);
}

void ReductionCheck::after() { launch(owned_on_device_, sums_, 0, std::ssize(owned_)); }

void ReductionCheck::launch(const Tensor& chunks, const Tensor& sums, int64_t first, int64_t count) {
  if (count == 0) return;
  const SpanChunk* const begin = static_cast<const SpanChunk*>(chunks.raw()) + first;
  visit_float(context_.dtype, [&]<class T>(T) {
    const WeightedSums<T> kernel{.chunks = begin,
                                 .values = store_.trained_gradients().data<T>(),
                                 .sums = sums.data<double>() + 2 * first,
                                 .elements = store_.trained_gradients().size()};
    for_rows(context_.stream, count, chunk_elements, kernel);
  });
}

ReductionCheck::Verdict ReductionCheck::judge(const double* all, int64_t chunk, const double* held) const {
  double expected = 0, magnitude = 0;
  const int64_t each = 2 * std::ssize(chunks_);
  for (int rank = 0; rank < host_.size(); ++rank) {
    expected += all[rank * each + 2 * chunk];
    magnitude += all[rank * each + 2 * chunk + 1];
  }
  return visit_float(context_.dtype, [&]<class T>(T) {
    if (!(magnitude < static_cast<double>(std::numeric_limits<T>::max()))) return right;  // sums may not be finite
    const double allowed = rounding_of<T>(chunks_[static_cast<size_t>(chunk)].count, host_.size(), magnitude);
    if (std::abs(held[0] - expected) <= allowed) return right;
    const double* const own = all + host_.rank() * each + 2 * chunk;
    return held[0] == own[0] && held[1] == own[1] ? unsummed : wrong;
  });
}

std::vector<uint8_t> ReductionCheck::verdicts() {
  const Tensor parts = to_host(device_, context_.stream, parts_), held = to_host(device_, context_.stream, sums_);
  std::vector<double> all(static_cast<size_t>(parts.size() * host_.size()));
  host_.all_gather(parts.raw(), all.data(), parts.size(), DType::f64, "sums of gradients");
  host_.release_to(Stream{});
  std::vector<uint8_t> own(store_.trained().size(), right), out(own.size() * static_cast<size_t>(host_.size()));
  for (int64_t i = 0; i < std::ssize(owned_); ++i) {
    const int64_t chunk = owned_[static_cast<size_t>(i)];
    uint8_t& of_tensor = own[places_[static_cast<size_t>(chunk)].parameter];
    of_tensor = std::max<uint8_t>(of_tensor, judge(all.data(), chunk, held.data<double>() + 2 * i));
  }
  host_.all_gather(own.data(), out.data(), std::ssize(own), DType::u8, "verdicts on gradients");
  host_.release_to(Stream{});
  return out;
}

void ReductionCheck::check(const std::string& when) {
  const std::vector<uint8_t> all = verdicts();
  const size_t tensors = store_.trained().size(), replicas = static_cast<size_t>(host_.size());
  const auto is_right = [&](size_t tensor) {
    for (size_t rank = 0; rank < replicas; ++rank) {
      if (all[rank * tensors + tensor] != right) return false;
    }
    return true;
  };
  size_t first = tensors, bad = 0;
  for (size_t tensor = tensors; tensor-- > 0;) {
    if (!is_right(tensor)) first = tensor, ++bad;
  }
  if (bad == 0) return;
  std::string who;
  uint8_t worst = right;
  for (size_t rank = 0; rank < replicas; ++rank) {
    const uint8_t verdict = all[rank * tensors + first];
    if (verdict != right) who += fmt::format("{}{}", who.empty() ? "" : ", ", rank);
    worst = std::max(worst, verdict);
  }
  const auto place = std::ranges::find(places_, first, &Place::parameter);
  fail(ErrorKind::disagreement,
       "replicas disagree {}: the gradient of {} ({}) is not the sum of what they computed: replica {} has {} ({} of "
       "{} tensors are wrong)",
       when, store_.trained()[first]->name, reducer_.name(place->bucket), who,
       worst == unsummed ? "its own part alone" : "something else", bad, tensors);
}

}  // namespace bev
