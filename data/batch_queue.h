// Batches made ahead of their use: a bounded queue whose batches several threads fill, each some of the samples, and
// one thread takes in order. Training and validation differ only in the samples that a batch has.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "data/batch_memory.h"
#include "data/dataset.h"
#include "data/worker_pool.h"

namespace bev {

/// How batches are made.
struct BatchQueueOptions {
  int64_t batch_size = 1;
  int64_t ahead = 2;                 // batches in the making or waiting (dataloader.prefetch_factor), at least 1
  std::shared_ptr<WorkerPool> pool;  // without threads batches are made when they are asked for
  HostAllocator allocate = plain_host_memory();
};

/// Used by one thread; the pool's threads work behind it.
class BatchQueue {
 public:
  /// Writes the numbers of the samples of batch `number`, batch_size of them. Runs on the thread that uses the queue.
  using Plan = std::function<void(int64_t number, std::span<int64_t> samples)>;

  /// Allocates all memory: ahead + 2 batches. The queue is empty until seek().
  BatchQueue(std::shared_ptr<const Dataset> dataset, const BatchQueueOptions& options, Plan plan);
  /// Waits for the threads that are filling a batch.
  ~BatchQueue();
  BatchQueue(const BatchQueue&) = delete;
  BatchQueue& operator=(const BatchQueue&) = delete;

  /// The next batches are number, number + 1, ... end - 1; those begun for another place are dropped, and making the
  /// new ones begins. The two batches handed out last stay as they are.
  void seek(int64_t number, int64_t end);
  /// The next batch; null after the last. Its memory is written again by the second call after this one. Throws what
  /// went wrong while it was made, again and again until seek().
  const Batch* next();
  /// Seconds that next() has waited since this was last asked.
  double take_waiting_seconds();

 private:
  struct Slot {
    Batch batch;
    int64_t unfinished = 0;  // parts
    std::exception_ptr error;
  };
  struct Part {
    Slot* slot;
    int64_t first, count;
    uint64_t round;
  };

  std::vector<Part> plan_batches();
  void start(const std::vector<Part>& parts);
  void fill(const Part& part);

  const std::shared_ptr<const Dataset> dataset_;
  const BatchQueueOptions options_;
  const Plan plan_;
  std::vector<std::unique_ptr<Slot>> slots_;

  std::mutex mutex_;  // guards everything below, and the slots' unfinished and error
  std::condition_variable changed_;
  std::deque<Slot*> free_, queued_, handed_out_;
  int64_t next_number_ = 0, end_ = 0;
  int64_t running_ = 0;  // parts submitted and not finished
  double waiting_seconds_ = 0;
  std::atomic<uint64_t> round_ = 0;  // counts seeks: parts of an earlier round are skipped
};

}  // namespace bev
