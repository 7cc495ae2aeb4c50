// The threads of a run's replicas, one each, from start to end. What happens when one of them fails is decided here,
// for all: the first failure wins, every communicator is aborted, every thread is joined, and one error names the
// replica and what it was doing. The thread that calls run() is the watchdog meanwhile.
//
// What cannot be ended from outside is a replica that neither calls a collective nor asks stopping(): a kernel or a
// library call that never returns, a wait without the token. Such a replica gets `grace_s`; then `give_up` is called,
// which ends the process unless a test says otherwise. The watchdog itself waits for nobody: it looks at communicators,
// and aborts them, on a thread of its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "runtime/activity.h"
#include "runtime/distributed/communicator.h"
#include "runtime/error.h"

namespace bev {

struct ReplicaGroupOptions {
  double timeout_s = 600;  // how long a collective may wait for a replica: training.collective_timeout_s
  double grace_s = 60;     // how long replicas may take to end after a failure
  int threads = 0;         // OpenMP threads a replica; 0: all that OpenMP would use, shared among the replicas
  /// Called by the thread in run() when a replica did not end. Empty: writes the error to stderr and ends the process
  /// with its status.
  std::function<void(const Error&)> give_up = {};
};

class ReplicaGroup {
 public:
  explicit ReplicaGroup(int size, ReplicaGroupOptions options = {});
  /// Joins the threads. Communicators made by connect() must be gone, each on its replica's thread.
  ~ReplicaGroup();
  ReplicaGroup(const ReplicaGroup&) = delete;
  ReplicaGroup& operator=(const ReplicaGroup&) = delete;

  int size() const { return size_; }

  /// Runs body(rank) on every replica's thread and returns when all have returned. If one throws: throws one Error with
  /// the kind of the first failure, naming its replica, after all threads have been joined; the group is then of no
  /// more use. `timeout_s` > 0 stands in for the options' while this body runs.
  void run(const std::function<void(int rank)>& body, double timeout_s = 0);

  /// The replica's communicator over host memory, for numbers that the host has: flags, metrics, hashes. Its
  /// collectives are finished after release_to(Stream{}). For the replica's own thread, inside run().
  Communicator& host(int rank) { return *host_[static_cast<size_t>(rank)]; }
  /// Joins `meeting` and has the communicator watched and, on failure, aborted. On the replica's thread, inside run();
  /// all replicas in the same order. The device outlives the communicator.
  std::shared_ptr<Communicator> connect(int rank, const std::shared_ptr<Rendezvous>& meeting, Device& device);

  Activity& activity(int rank) { return replicas_[static_cast<size_t>(rank)]->activity; }
  /// Asked for stop when a replica has failed. Whatever may wait for long outside of collectives must watch it.
  std::stop_token stopping() const { return stop_.get_token(); }

 private:
  struct Watched {
    std::string label;
    Communicator* communicator;
  };
  struct Replica {
    Activity activity;
    std::vector<Watched> watched;  // guarded by watch_mutex_
    std::thread thread;
  };
  struct Failure {
    ErrorKind kind;
    std::string message;
    bool consequence;  // of another replica's failure
  };

  void replica_main(int rank);
  void run_body(int rank, const std::function<void(int)>& body);
  void fail_with(const Failure& failure);
  void look_for_trouble(double timeout_s);
  std::string hang_report(const Watched& waiting, double timeout_s) const;
  void join();

  const int size_;
  const ReplicaGroupOptions options_;
  std::stop_source stop_;

  std::mutex mutex_;  // of the bodies' coming and going
  std::condition_variable started_, finished_;
  const std::function<void(int)>* body_ = nullptr;
  int64_t generation_ = 0;
  int running_ = 0;
  bool closing_ = false;
  std::optional<Failure> failure_;

  std::mutex watch_mutex_;  // held while communicators are looked at or aborted, so that they stay
  std::vector<std::shared_ptr<Rendezvous>> meetings_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::vector<std::unique_ptr<Communicator>> host_;
};

}  // namespace bev
