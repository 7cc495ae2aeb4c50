#include "data/batch_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace bev {

namespace {

constexpr size_t handed_out_at_once = 2;  // the batch in use, and the one before it, whose copy may be under way

}  // namespace

BatchQueue::BatchQueue(std::shared_ptr<const Dataset> dataset, const BatchQueueOptions& options, Plan plan)
    : dataset_(std::move(dataset)), options_(options), plan_(std::move(plan)) {
  if (options.batch_size < 1) fail(ErrorKind::usage, "batches of {} samples: expected 1 or more", options.batch_size);
  if (options.ahead < 1) {
    fail(ErrorKind::usage, "dataloader.prefetch_factor is {}: expected 1 or more batches ahead", options.ahead);
  }
  for (size_t i = 0; i < static_cast<size_t>(options.ahead) + handed_out_at_once; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->batch = allocate_batch(dataset_->fields(), options.batch_size, options.allocate);
    free_.push_back(slots_.back().get());
  }
}

BatchQueue::~BatchQueue() {
  ++round_;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_ == 0; });
}

void BatchQueue::seek(int64_t number, int64_t end) {
  ++round_;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_ == 0; });
  free_.insert(free_.end(), queued_.begin(), queued_.end());
  queued_.clear();
  next_number_ = number;
  end_ = end;
  if (options_.pool->threads() == 0) return;
  const std::vector<Part> parts = plan_batches();
  lock.unlock();
  start(parts);
}

const Batch* BatchQueue::next() {
  std::unique_lock lock(mutex_);
  if (handed_out_.size() == handed_out_at_once) {
    free_.push_back(handed_out_.front());
    handed_out_.pop_front();
  }
  const auto begin = std::chrono::steady_clock::now();
  if (queued_.empty()) {
    const std::vector<Part> parts = plan_batches();
    lock.unlock();
    start(parts);
    lock.lock();
  }
  if (queued_.empty()) return nullptr;
  Slot* const slot = queued_.front();
  changed_.wait(lock, [slot] { return slot->unfinished == 0; });
  waiting_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (slot->error) std::rethrow_exception(slot->error);
  queued_.pop_front();
  handed_out_.push_back(slot);
  if (options_.pool->threads() > 0) {
    const std::vector<Part> parts = plan_batches();
    lock.unlock();
    start(parts);
  }
  return &slot->batch;
}

double BatchQueue::take_waiting_seconds() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(waiting_seconds_, 0);
}

/// Queues batches up to the limit. Called with the lock held; the work for them is returned and started without it,
/// since a pool without threads does it at once.
std::vector<BatchQueue::Part> BatchQueue::plan_batches() {
  const int64_t limit = options_.pool->threads() == 0 ? 1 : options_.ahead;
  const int64_t wanted = std::clamp<int64_t>(options_.pool->threads(), 1, options_.batch_size);  // parts a batch
  std::vector<Part> parts;
  while (static_cast<int64_t>(queued_.size()) < limit && !free_.empty() && next_number_ < end_) {
    Slot* const slot = free_.front();
    plan_(next_number_, slot->batch.samples);
    free_.pop_front();
    queued_.push_back(slot);
    ++next_number_;
    slot->error = nullptr;
    slot->unfinished = wanted;
    running_ += wanted;
    for (int64_t i = 0; i < wanted; ++i) {
      const int64_t first = i * options_.batch_size / wanted, last = (i + 1) * options_.batch_size / wanted;
      parts.push_back({slot, first, last - first, round_});
    }
  }
  return parts;
}

void BatchQueue::start(const std::vector<Part>& parts) {
  for (const Part& part : parts) options_.pool->submit([this, part] { fill(part); });
}

void BatchQueue::fill(const Part& part) {
  std::exception_ptr error;
  try {
    if (part.round == round_) dataset_->gather(part.slot->batch, part.first, part.count);
  } catch (...) {
    error = std::current_exception();
  }
  const std::scoped_lock lock(mutex_);
  if (error && !part.slot->error) part.slot->error = error;
  --part.slot->unfinished;
  --running_;
  changed_.notify_all();
}

}  // namespace bev
