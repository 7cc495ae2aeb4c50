#include "runtime/distributed/reducer.h"

#include <algorithm>

namespace bev {

namespace {

constexpr int64_t granule = 64;  // elements: shards begin where vector loads and NCCL like it

}  // namespace

double ReductionReport::total_s() const {
  double sum = 0;
  for (const CollectiveTrace& c : collectives) sum += c.finished - c.started;
  return sum;
}

double ReductionReport::hidden_s() const {
  double sum = 0;
  for (const CollectiveTrace& c : collectives) sum += std::max(0.0, std::min(c.finished, c.needed) - c.started);
  return sum;
}

std::string ReductionReport::text() const {
  const double total = total_s(), hidden = hidden_s();
  return fmt::format("{:.1f} of {:.1f} ms of communication ({:.0f} %) behind compute, {} collectives", hidden * 1e3,
                     total * 1e3, total > 0 ? 100 * hidden / total : 100, collectives.size());
}

GradientReducer::GradientReducer(ParameterStore& store, Communicator& communicator, const ReducerConfig& config)
    : store_(store), communicator_(communicator), config_(config) {
  if (!store.trained_gradients().defined()) {
    fail(ErrorKind::usage, "there is nothing to reduce: no parameter gets a gradient");
  }
  cut(store);
  if (!config.sharded) {
    owned_ = {{0, store.trained_gradients().size()}};
    if (communicator.rank() == 0) counted_ = owned_;
    return;
  }
  for (const SummedPart& part : parts()) {
    const bool ours = part.owner == communicator.rank(), everybodys = part.owner == SummedPart::everybody;
    if (ours || everybodys) owned_.push_back(part.span);
    if (ours || (everybodys && communicator.rank() == 0)) counted_.push_back(part.span);
  }
}

GradientReducer::~GradientReducer() {
  if (!reducing_) return;
  communicator_.abort(Error(ErrorKind::runtime, fmt::format("replica {} left a step before its gradients were summed",
                                                            communicator_.rank())));
}

void GradientReducer::cut(ParameterStore& store) {
  const DType type = store.trained_gradients().dtype();
  const std::vector<Parameter*>& parameters = store.trained();
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (buckets_.empty() || static_cast<size_t>(buckets_.back().count) * size_of(type) >= config_.bucket_bytes) {
      Bucket& fresh = buckets_.emplace_back();
      fresh.name = fmt::format("bucket {}", buckets_.size() - 1);
      fresh.first = parameters[i]->offset;
    }
    Bucket& bucket = buckets_.back();
    const int64_t end = i + 1 < parameters.size() ? parameters[i + 1]->offset : store.trained_gradients().size();
    bucket.count = end - bucket.first;
    ++bucket.parameters;
    bucket_of_[parameters[i]] = buckets_.size() - 1;
  }
  for (Bucket& bucket : buckets_) bucket.shard = bucket.count / communicator_.size() / granule * granule;
}

std::vector<SummedPart> GradientReducer::parts() const {
  std::vector<SummedPart> out;
  for (int64_t number = 0; number < buckets(); ++number) {
    const Bucket& bucket = buckets_[static_cast<size_t>(number)];
    const auto add = [&](int64_t first, int64_t count, int owner) {
      if (count > 0) out.push_back({number, {bucket.first + first, count}, owner});
    };
    const int64_t shard = config_.sharded ? bucket.shard : 0, dealt = shard * communicator_.size();
    for (int rank = 0; rank < communicator_.size(); ++rank) add(rank * shard, shard, rank);
    add(dealt, bucket.count - dealt, SummedPart::everybody);
  }
  return out;
}

void GradientReducer::attach(Tape& tape, const Stream& compute) {
  compute_ = compute;
  tape.set_gradient_ready([this](Parameter& parameter) { ready(parameter); });
}

void GradientReducer::begin() {
  for (Bucket& bucket : buckets_) bucket.unready = bucket.parameters;
  ready_.clear();
  next_ = 0;
  reducing_ = true;
}

void GradientReducer::ready(const Parameter& parameter) {
  if (!reducing_) return;
  const auto place = bucket_of_.find(&parameter);
  if (place == bucket_of_.end()) fail(ErrorKind::runtime, "{} is not among the trained parameters", parameter.name);
  if (!ready_.insert(&parameter).second) {
    fail(ErrorKind::runtime, "the gradient of {} was completed twice in one backward pass", parameter.name);
  }
  --buckets_[place->second].unready;
  for (; next_ < buckets_.size() && buckets_[next_].unready == 0; ++next_) reduce(next_);
}

void GradientReducer::reduce(size_t number) {
  const Bucket& bucket = buckets_[number];
  if (witness_) witness_->before(static_cast<int64_t>(number));
  const Tensor gradients = store_.trained_gradients();
  const DType type = gradients.dtype();
  const char* name = bucket.name.c_str();
  communicator_.wait_for(compute_);
  if (!config_.sharded) return communicator_.all_reduce(at(gradients, bucket.first), bucket.count, type, name);
  const int64_t dealt = communicator_.size() * bucket.shard;
  if (bucket.shard > 0) {
    communicator_.reduce_scatter(at(gradients, bucket.first),
                                 at(gradients, bucket.first + communicator_.rank() * bucket.shard), bucket.shard, type,
                                 name);
  }
  if (dealt < bucket.count)
    communicator_.all_reduce(at(gradients, bucket.first + dealt), bucket.count - dealt, type, name);
}

void GradientReducer::finish() {
  if (!reducing_) fail(ErrorKind::runtime, "a reduction was finished that did not begin");
  if (next_ < buckets_.size()) {
    for (const Parameter* parameter : store_.trained()) {
      if (ready_.contains(parameter)) continue;
      fail(ErrorKind::runtime,
           "the gradient of {} was not completed in the step's last backward pass: replicas cannot sum it",
           parameter->name);
    }
  }
  communicator_.release_to(compute_);
  reducing_ = false;
  if (witness_) witness_->after();
}

void GradientReducer::gather(const Tensor& span) {
  if (!config_.sharded) return;
  communicator_.wait_for(compute_);
  for (const Bucket& bucket : buckets_) {
    if (bucket.shard == 0) continue;
    communicator_.all_gather(at(span, bucket.first + communicator_.rank() * bucket.shard), at(span, bucket.first),
                             bucket.shard, span.dtype(), bucket.name.c_str());
  }
  communicator_.release_to(compute_);
}

ReductionReport GradientReducer::take_report() { return {communicator_.take_trace()}; }

std::byte* GradientReducer::at(const Tensor& span, int64_t element) const {
  return static_cast<std::byte*>(span.raw()) + static_cast<size_t>(element) * size_of(span.dtype());
}

}  // namespace bev
