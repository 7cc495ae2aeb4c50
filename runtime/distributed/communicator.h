// Collectives among the replicas of this process, over spans of memory. Knows neither models nor optimisers. Two
// bodies: NCCL (a GPU each), and threads of this process (replicas on the CPU, or several on one GPU).
//
// A communicator has its own stream of work, beside the replica's compute stream, so that reductions run while backward
// goes on. The seam between the two is explicit: wait_for() and release_to(). Every replica calls the same collectives
// in the same order. One communicator a replica, used by its thread alone, but for what is marked "from any thread".
// Replicas make their communicators together, by joining one Rendezvous. README.md in this folder has the rules.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/stream.h"
#include "runtime/dtype.h"

namespace bev {

class Device;

/// What a collective throws when it was ended, or refused, because the group was aborted: the consequence of a failure
/// elsewhere, not its cause. Its kind is the cause's.
class CollectiveAborted : public Error {
 public:
  using Error::Error;
};

/// When a collective ran, in seconds on one clock of this replica: for profiles.
struct CollectiveTrace {
  std::string name;
  int64_t bytes = 0;  // of the replica's span
  double ready = 0;   // compute had produced this replica's part
  double started = 0, finished = 0;
  double needed = 0;  // compute reached the release_to() that waits for it
};

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

  /// Sum over replicas, in place; the order of summation is that of ranks (threads) or fixed by the topology (NCCL), so
  /// that runs repeat. f32, f64 and i64. Pre-scale for means. `name` is for messages.
  virtual void all_reduce(void* data, int64_t count, DType type, const char* name) = 0;
  /// Replica r receives the sum of everybody's elements r * count .. (r + 1) * count - 1; `in` has size() * count.
  /// `out` may be the replica's own part of `in`.
  virtual void reduce_scatter(const void* in, void* out, int64_t count, DType type, const char* name) = 0;
  /// Everybody receives replica r's `count` elements at r * count. `in` may be the replica's own part of `out`. Any
  /// type.
  virtual void all_gather(const void* in, void* out, int64_t count, DType type, const char* name) = 0;
  /// Everybody receives the root's elements. Any type.
  virtual void broadcast(void* data, int64_t count, DType type, int root, const char* name) = 0;
  /// Returns on the host when every replica has called it.
  virtual void barrier(const char* name) = 0;

  /// Ends every collective of every replica: they throw CollectiveAborted with the reason's kind and message, and so do
  /// later calls. On return no collective touches memory any more. The first reason stands. From any thread.
  virtual void abort(const Error& reason) = 0;
  /// What this replica last called and whether it has finished, for the watchdog. From any thread.
  virtual std::string last_collective() const = 0;
  /// How many collectives this replica has called. From any thread.
  virtual int64_t calls() const = 0;
  /// For how long the oldest unfinished collective of this replica has waited; 0 if there is none. From any thread.
  virtual double waiting_seconds() const = 0;
  /// Throws Error if the library or a link has reported a failure since. From any thread.
  virtual void check_health() const {}

  /// Whether collectives are timed from here on. Not while a step is captured into a graph.
  virtual void set_tracing(bool on) = 0;
  /// What was timed and is not yet taken, in the order of calls: what compute was released to, and on a GPU has reached
  /// its release by now.
  virtual std::vector<CollectiveTrace> take_trace() = 0;
};

/// Where the replicas of a group meet to make a set of communicators. Shared by them: all members from any thread.
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  /// Names the set in messages: "gradients".
  virtual const std::string& label() const = 0;
  /// Called once by every replica, on its own thread, with its device, which outlives the communicator. May wait until
  /// all have come. `seconds` bounds that wait: Error(ErrorKind::hang) after it.
  virtual std::unique_ptr<Communicator> join(int rank, Device& device, double seconds) = 0;
  /// Ends what waits in join(), and refuses later calls.
  virtual void abort(const Error& reason) = 0;
};

/// A clock that a test moves: the time at which a replica would be if its work took what the test says. For its
/// replica's thread alone.
class ManualClock {
 public:
  double now() const { return now_; }
  void advance(double seconds) { now_ += seconds; }
  void move_to(double time) { now_ = time > now_ ? time : now_; }

 private:
  double now_ = 0;
};

/// A link that threads pretend to communicate over; collectives take the time that a ring would. Where the clocks are a
/// test's nothing waits: release_to() moves the clock to the end of the last collective.
struct FakeLink {
  double bytes_per_second = 0;                       // 0: as fast as memory allows
  double latency_s = 0;                              // of every collective
  std::vector<std::shared_ptr<ManualClock>> clocks;  // one a replica, or empty: the machine's clock
};

/// For replicas that are threads of this process, at most 16 of them: all on the CPU, or all on one GPU (float64 sums
/// on the CPU only).
std::shared_ptr<Rendezvous> meet_by_threads(int count, std::string label, FakeLink link = {});
/// For replicas with a GPU each. Throws Error(ErrorKind::usage) in a program that was built without CUDA.
std::shared_ptr<Rendezvous> meet_by_nccl(int count, std::string label);

/// Communicators of `count` replicas that are threads of this process, over host memory.
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int count, FakeLink link = {},
                                                                     std::string label = "threads");

}  // namespace bev
