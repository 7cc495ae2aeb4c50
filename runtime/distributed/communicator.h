// Collectives among the replicas of this process, over spans of device memory. Knows neither models nor optimisers. Two
// bodies: NCCL (a GPU each), and threads of this process (replicas on the CPU, or several on one GPU).
//
// A communicator has its own stream of work, beside the replica's compute stream, so that reductions run while backward
// goes on. The seam between the two is explicit: wait_for() and release_to(). Every replica calls the same collectives
// in the same order. One communicator a replica, used by its thread alone; abort() may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/stream.h"
#include "runtime/dtype.h"

namespace bev {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// For messages: "nccl 2.28.9" or "threads".
  virtual std::string text() const = 0;

  /// Collectives called from here on start only when the work that is now on `compute` is done.
  virtual void wait_for(const Stream& compute) = 0;
  /// Work put on `compute` from here on starts only when all collectives called so far are done. On the CPU: returns
  /// when they are done.
  virtual void release_to(const Stream& compute) = 0;

  /// Sum over replicas, in place; the order of summation is that of ranks, so that runs repeat. f32, f64 and i64.
  /// Pre-scale for means. `name` is for the watchdog's messages, a literal or a string that outlives the call.
  virtual void all_reduce(void* data, int64_t count, DType type, const char* name) = 0;
  /// Replica r receives the sum of everybody's elements r * count .. (r + 1) * count - 1; `in` has size() * count.
  virtual void reduce_scatter(const void* in, void* out, int64_t count, DType type, const char* name) = 0;
  /// Everybody receives replica r's `count` elements at r * count. `out` may contain `in` at its own place.
  virtual void all_gather(const void* in, void* out, int64_t count, DType type, const char* name) = 0;
  virtual void broadcast(void* data, int64_t count, DType type, int root, const char* name) = 0;
  /// Returns on the host when every replica has called it.
  virtual void barrier(const char* name) = 0;

  /// Ends every collective of every replica with Error(ErrorKind::hang or the first failure's kind); idempotent. From
  /// any thread.
  virtual void abort(const std::string& reason) = 0;
  /// What this replica last called and whether it has finished, for the watchdog.
  virtual std::string last_collective() const = 0;
};

/// Communicators of `count` replicas that are threads of this process, over host memory.
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int count);

}  // namespace bev
