// What the communicators of threads share: which collectives are called, by whom, and how far they are. A collective
// runs when every replica has called it and all earlier ones are finished. On the CPU each replica's communicator has a
// worker thread that computes its part, so that the replica goes on with backward meanwhile; on a GPU the last replica
// to call enqueues the whole on its communication stream, and events order it with everybody else's streams.
//
// One mutex guards all of it; parts run outside of it. Nobody spins: all waits are on one condition variable, which
// abort() wakes.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/device.h"
#include "runtime/distributed/collective.h"
#include "runtime/distributed/communicator.h"

namespace bev {

class ThreadGroup {
 public:
  ThreadGroup(int size, std::string label, FakeLink link);

  int size() const { return size_; }
  const std::string& label() const { return label_; }

  /// The replica's memory is a GPU's from here on: makes its stream and events. Not called for replicas on the CPU.
  void enter_on_gpu(int rank, Device& device);
  bool on_gpu(int rank) const { return member(rank).gpu != nullptr; }
  /// The replica calls no more; ends the group if it owes something. Its worker returns.
  void leave(int rank);

  void wait_for(int rank, const Stream& compute);
  void release_to(int rank, const Stream& compute);
  void call(int rank, CollectiveCall call);
  /// Waits on the host until all that the replica has called is finished (on a GPU: enqueued).
  void wait(int rank);
  /// What a replica's worker does until the replica leaves or the group is aborted.
  void work(int rank);

  void abort(const Error& reason);
  std::string last_collective(int rank) const;
  int64_t calls(int rank) const;
  double waiting_seconds(int rank) const;
  void set_tracing(int rank, bool on);
  std::vector<CollectiveTrace> take_trace(int rank);

 private:
  struct Collective {
    std::vector<CollectiveCall> calls;
    std::vector<bool> called;
    int arrived = 0, parts_done = 0;
    double started = 0, finished = 0;
  };
  /// A replica's place on a GPU. Ready events go round a ring, so that a collective seldom waits for a later one's.
  struct Gpu {
    Stream stream;
    std::array<std::unique_ptr<Event>, 8> ready;
    std::unique_ptr<Event> compute, done;
  };
  struct Member {
    int64_t calls = 0;
    bool left = false, tracing = false;
    CollectiveCall last;
    std::vector<CollectiveTrace> trace;
    std::unique_ptr<Gpu> gpu;
  };
  using Lock = std::unique_lock<std::mutex>;

  const Member& member(int rank) const { return members_[static_cast<size_t>(rank)]; }
  Member& member(int rank) { return members_[static_cast<size_t>(rank)]; }
  bool front_is_ready(int64_t number) const;
  double now(int rank) const;
  void refuse_if_aborted(Lock& lock, int rank, const CollectiveCall& call);
  void abort_locked(const Error& reason);
  void start(Collective& collective);
  double link_seconds(const CollectiveCall& call) const;
  void run_at_once(Collective& collective, int rank);
  void finish(Lock& lock, Collective& collective);
  std::string missing(const Collective& collective) const;

  const int size_;
  const std::string label_;
  const FakeLink link_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Member> members_;
  std::deque<Collective> pending_;  // its front is number completed_
  int64_t completed_ = 0;
  double link_free_ = 0;        // when the fake link has carried all that was given to it
  Event* last_done_ = nullptr;  // on a GPU: after the collective enqueued last
  int running_ = 0;             // parts that touch memory now
  std::optional<Error> aborted_;
};

}  // namespace bev
