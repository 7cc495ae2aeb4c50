#include "data/loader.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace bev {

namespace {

std::vector<int64_t> part_of(const std::vector<int64_t>& samples, int replica, int replicas) {
  const int64_t n = static_cast<int64_t>(samples.size());
  return {samples.begin() + n * replica / replicas, samples.begin() + n * (replica + 1) / replicas};
}

BatchQueueOptions with_batch_size(BatchQueueOptions options, int64_t size) {
  options.batch_size = size;
  return options;
}

}  // namespace

Loader::Loader(std::shared_ptr<const Dataset> dataset, const Sampler& sampler, const Share& share,
               BatchQueueOptions options)
    : dataset_(std::move(dataset)),
      sampler_(sampler),
      share_(share),
      queue_(dataset_, with_batch_size(std::move(options), share.micro_batch),
             [this](int64_t number, std::span<int64_t> samples) {
               const int64_t step = number / share_.accumulation, offset = share_.offset(number % share_.accumulation);
               for (size_t i = 0; i < samples.size(); ++i) {
                 samples[i] = sampler_.sample(step, offset + static_cast<int64_t>(i));
               }
             }) {
  if (sampler.global_batch() != share.global_batch()) {
    fail(ErrorKind::runtime, "the sampler deals global batches of {}, but the replicas share {}",
         sampler.global_batch(), share.global_batch());
  }
}

void Loader::seek(int64_t step) {
  started_ = true;
  queue_.seek(step * share_.accumulation, std::numeric_limits<int64_t>::max());
}

const Batch& Loader::next() {
  if (!started_) seek(0);
  return *queue_.next();
}

ValidationLoader::ValidationLoader(std::shared_ptr<const Dataset> dataset, const std::vector<int64_t>& samples,
                                   int replica, int replicas, const BatchQueueOptions& options)
    : dataset_(std::move(dataset)),
      mine_(part_of(samples, replica, replicas)),
      batch_size_(options.batch_size),
      queue_(dataset_, options, [this](int64_t number, std::span<int64_t> batch) {
        for (size_t i = 0; i < batch.size(); ++i) {
          const size_t place = static_cast<size_t>(number * batch_size_) + i;
          batch[i] = place < mine_.size() ? mine_[place] : -1;
        }
      }) {
  restart();
}

int64_t ValidationLoader::batches() const { return (samples() + batch_size_ - 1) / batch_size_; }

std::vector<int64_t> samples_to_validate(const Dataset& dataset, int64_t most) {
  const int64_t n = dataset.size(), count = most > 0 ? std::min(most, n) : n;
  std::vector<int64_t> samples;
  for (int64_t i = 0; i < count; ++i) samples.push_back(i * n / count);
  return samples;
}

}  // namespace bev
