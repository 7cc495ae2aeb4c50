#include "runtime/distributed/replica_group.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace bev {

namespace {

/// OpenMP threads of the calling thread's parallel regions: all replicas together use no more than one program would.
void share_openmp_threads([[maybe_unused]] int replicas, [[maybe_unused]] int wanted) {
#ifdef _OPENMP
  omp_set_num_threads(wanted > 0 ? wanted : std::max(1, omp_get_max_threads() / replicas));
#endif
}

void end_process(const Error& error) {
  fmt::print(stderr, "bev_train: {}\n", error.what());
  std::fflush(nullptr);
  std::_Exit(error.exit_status());
}

}  // namespace

ReplicaGroup::ReplicaGroup(int size, ReplicaGroupOptions options)
    : size_(size), options_(std::move(options)), host_(make_thread_communicators(size, {}, "host")) {
  for (int rank = 0; rank < size; ++rank) {
    replicas_.push_back(std::make_unique<Replica>());
    replicas_.back()->watched.push_back({"host", host_[static_cast<size_t>(rank)].get()});
  }
  for (int rank = 0; rank < size; ++rank) {
    replicas_[static_cast<size_t>(rank)]->thread = std::thread([this, rank] { replica_main(rank); });
  }
}

ReplicaGroup::~ReplicaGroup() { join(); }

void ReplicaGroup::join() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  started_.notify_all();
  for (const auto& replica : replicas_) {
    if (replica->thread.joinable()) replica->thread.join();
  }
}

void ReplicaGroup::run(const std::function<void(int rank)>& body, double timeout_s) {
  if (timeout_s <= 0) timeout_s = options_.timeout_s;
  std::unique_lock lock(mutex_);
  if (failure_) throw Error(failure_->kind, failure_->message);
  body_ = &body;
  running_ = size_;
  ++generation_;
  started_.notify_all();

  const auto period = std::chrono::duration<double>(std::clamp(timeout_s / 8, 0.01, 0.5));
  double ending_s = 0, looking_s = 0;
  std::future<void> look;  // on a thread of its own: a library may not return from being asked, or told to end
  while (!finished_.wait_for(lock, period, [&] { return running_ == 0; })) {
    if (failure_) {
      ending_s += period.count();
      if (ending_s < options_.grace_s) continue;
      const Error error(failure_->kind, failure_->message + fmt::format("; {} replicas did not end", running_));
      lock.unlock();
      options_.give_up ? options_.give_up(error) : end_process(error);
      lock.lock();
      ending_s = 0;
    } else if (!look.valid() || look.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
      looking_s = 0;
      look = std::async(std::launch::async, [this, timeout_s] { look_for_trouble(timeout_s); });
    } else if ((looking_s += period.count()) > timeout_s) {
      failure_ = {ErrorKind::hang, fmt::format("communicators did not say within {} s how they are", timeout_s), false};
      stop_.request_stop();
    }
  }
  body_ = nullptr;
  if (look.valid()) {
    lock.unlock();
    look.wait();
    lock.lock();
  }
  if (!failure_) return;
  const Error error(failure_->kind, failure_->message);
  lock.unlock();
  join();
  throw error;
}

void ReplicaGroup::replica_main(int rank) {
  share_openmp_threads(size_, options_.threads);
  int64_t done = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    started_.wait(lock, [&] { return closing_ || generation_ > done; });
    if (generation_ == done) return;
    done = generation_;
    const std::function<void(int)>& body = *body_;
    lock.unlock();
    run_body(rank, body);
    lock.lock();
    if (--running_ == 0) finished_.notify_all();
  }
}

void ReplicaGroup::run_body(int rank, const std::function<void(int)>& body) {
  const auto report = [&](ErrorKind kind, const char* what, bool consequence) {
    fail_with({kind, fmt::format("replica {} ({}): {}", rank, activity(rank).text(), what), consequence});
  };
  try {
    body(rank);
  } catch (const CollectiveAborted& error) {
    report(error.kind(), error.what(), true);
  } catch (const Error& error) {
    report(error.kind(), error.what(), false);
  } catch (const std::exception& error) {
    report(ErrorKind::runtime, error.what(), false);
  } catch (...) {
    report(ErrorKind::runtime, "an exception of unknown type", false);
  }
}

void ReplicaGroup::fail_with(const Failure& failure) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_ || (failure_->consequence && !failure.consequence)) failure_ = failure;
  }
  stop_.request_stop();
  const Error reason(failure.kind, failure.message);
  const std::lock_guard lock(watch_mutex_);
  for (const auto& meeting : meetings_) meeting->abort(reason);
  for (const auto& replica : replicas_) {
    for (const Watched& watched : replica->watched) watched.communicator->abort(reason);
  }
}

std::shared_ptr<Communicator> ReplicaGroup::connect(int rank, const std::shared_ptr<Rendezvous>& meeting,
                                                    Device& device) {
  {
    const std::lock_guard lock(watch_mutex_);
    if (stop_.stop_requested()) {
      throw CollectiveAborted(
          ErrorKind::runtime,
          fmt::format("replica {} makes no communicator for {}: the run is ending", rank, meeting->label()));
    }
    if (std::find(meetings_.begin(), meetings_.end(), meeting) == meetings_.end()) meetings_.push_back(meeting);
  }
  std::unique_ptr<Communicator> communicator = meeting->join(rank, device, options_.timeout_s);
  auto& watched = replicas_[static_cast<size_t>(rank)]->watched;
  const std::lock_guard lock(watch_mutex_);
  watched.push_back({meeting->label(), communicator.get()});
  if (stop_.stop_requested()) communicator->abort(Error(ErrorKind::runtime, "the run is ending"));
  return {communicator.release(), [this, &watched](Communicator* gone) {
            {
              const std::lock_guard lock_again(watch_mutex_);
              std::erase_if(watched, [&](const Watched& w) { return w.communicator == gone; });
            }
            delete gone;
          }};
}

void ReplicaGroup::look_for_trouble(double timeout_s) {
  std::optional<Failure> trouble;
  {
    const std::lock_guard lock(watch_mutex_);
    for (const auto& replica : replicas_) {
      for (const Watched& watched : replica->watched) {
        if (trouble) break;
        try {
          watched.communicator->check_health();
          if (watched.communicator->waiting_seconds() > timeout_s) {
            trouble = {ErrorKind::hang, hang_report(watched, timeout_s), false};
          }
        } catch (const Error& error) {
          trouble = {error.kind(), error.what(), false};
        }
      }
    }
  }
  if (trouble) fail_with(*trouble);
}

/// `waiting` has waited too long. Those that have called fewer collectives of the same set did not arrive.
std::string ReplicaGroup::hang_report(const Watched& waiting, double timeout_s) const {
  std::string late, each;
  for (int rank = 0; rank < size_; ++rank) {
    const Replica& replica = *replicas_[static_cast<size_t>(rank)];
    const auto own = std::find_if(replica.watched.begin(), replica.watched.end(),
                                  [&](const Watched& other) { return other.label == waiting.label; });
    const bool there = own != replica.watched.end();
    if (!there || own->communicator->calls() < waiting.communicator->calls()) {
      late += fmt::format("{}{}", late.empty() ? "" : ", ", rank);
    }
    each += fmt::format("; replica {}: last op {}; last collective {}", rank, replica.activity.text(),
                        there ? own->communicator->last_collective() : "none");
  }
  const std::string what =
      late.empty() ? "a collective did not finish" : fmt::format("replica {} did not arrive", late);
  return fmt::format("{} within {} s ({}){}", what, timeout_s, waiting.label, each);
}

}  // namespace bev
