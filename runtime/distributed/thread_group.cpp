#include "runtime/distributed/thread_group.h"

#include <algorithm>
#include <chrono>

#include "kernels/sum_replicas.h"

namespace bev {

namespace {

double machine_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::chrono::steady_clock::time_point time_point(double machine_seconds) {
  return std::chrono::steady_clock::time_point(
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(machine_seconds)));
}

}  // namespace

ThreadGroup::ThreadGroup(int size, std::string label, FakeLink link)
    : size_(size), label_(std::move(label)), link_(std::move(link)), members_(static_cast<size_t>(size)) {
  if (size < 1 || size > replicas_at_most) {
    fail(ErrorKind::usage, "{} replicas as threads of one process: expected 1 to {}", size, replicas_at_most);
  }
}

void ThreadGroup::enter_on_gpu(int rank, Device& device) {
  auto gpu = std::make_unique<Gpu>();
  gpu->stream = device.make_stream();
  for (auto& event : gpu->ready) event = device.make_event();
  gpu->compute = device.make_event();
  gpu->done = device.make_event();
  const Lock lock(mutex_);
  member(rank).gpu = std::move(gpu);
}

void ThreadGroup::leave(int rank) {
  Lock lock(mutex_);
  member(rank).left = true;
  const bool owed_by = std::any_of(members_.begin(), members_.end(),
                                   [&](const Member& other) { return other.calls > member(rank).calls; });
  if (member(rank).calls > completed_ || owed_by) {
    abort_locked(Error(ErrorKind::runtime,
                       fmt::format("replica {} left while collectives of {} were not finished", rank, label_)));
  }
  changed_.notify_all();
  if (aborted_) changed_.wait(lock, [&] { return running_ == 0; });  // the replica will give its memory back
}

void ThreadGroup::wait_for(int rank, const Stream& compute) {
  if (!member(rank).gpu) return;  // on the CPU what was computed is there
  member(rank).gpu->compute->record(compute);
  member(rank).gpu->compute->block(member(rank).gpu->stream);
}

void ThreadGroup::release_to(int rank, const Stream& compute) {
  const double needed = now(rank);
  wait(rank);
  const Lock lock(mutex_);
  for (CollectiveTrace& trace : member(rank).trace) {
    if (trace.needed < 0) trace.needed = needed;
  }
  if (member(rank).gpu && last_done_) last_done_->block(compute);
}

void ThreadGroup::call(int rank, CollectiveCall call) {
  call.ready = now(rank);
  call.asked = machine_seconds();
  if (member(rank).gpu) {
    auto& ring = member(rank).gpu->ready;
    ring[static_cast<size_t>(member(rank).calls) % ring.size()]->record(member(rank).gpu->stream);
  }
  Lock lock(mutex_);
  refuse_if_aborted(lock, rank, call);
  const int64_t number = member(rank).calls++;
  member(rank).last = call;
  const size_t place = static_cast<size_t>(number - completed_);
  if (place == pending_.size()) {
    Collective& fresh = pending_.emplace_back();
    fresh.calls.resize(members_.size());
    fresh.called.resize(members_.size());
  }
  Collective& collective = pending_[place];
  for (int other = 0; other < size_; ++other) {
    const CollectiveCall& theirs = collective.calls[static_cast<size_t>(other)];
    if (collective.called[static_cast<size_t>(other)] && !theirs.matches(call)) {
      abort_locked(
          Error(ErrorKind::runtime,
                fmt::format("replicas call different collectives (number {} of {}): replica {} {}, replica {} {}",
                            number, label_, other, theirs.text(), rank, call.text())));
    } else if (member(other).left && member(other).calls <= number) {
      abort_locked(
          Error(ErrorKind::runtime, fmt::format("replica {} left, but replica {} calls {}", other, rank, call.text())));
    }
  }
  refuse_if_aborted(lock, rank, call);
  collective.calls[static_cast<size_t>(rank)] = std::move(call);
  collective.called[static_cast<size_t>(rank)] = true;
  if (++collective.arrived < size_) return;
  start(collective);
  if (size_ == 1 || member(rank).gpu) {
    run_at_once(collective, rank);
    return finish(lock, collective);
  }
  changed_.notify_all();
}

void ThreadGroup::wait(int rank) {
  Lock lock(mutex_);
  const auto done = [&] { return completed_ >= member(rank).calls; };
  changed_.wait(lock, [&] { return done() || aborted_; });
  if (!done()) refuse_if_aborted(lock, rank, member(rank).last);
  if (!link_.clocks.empty()) link_.clocks[static_cast<size_t>(rank)]->move_to(link_free_);
}

void ThreadGroup::work(int rank) {
  Lock lock(mutex_);
  for (int64_t number = 0;; ++number) {
    changed_.wait(lock, [&] { return aborted_ || member(rank).left || front_is_ready(number); });
    if (aborted_ || !front_is_ready(number)) return;
    Collective& collective = pending_.front();  // its place stays: others only append
    ++running_;
    lock.unlock();
    run_part(Stream{}, collective.calls, rank);
    lock.lock();
    --running_;
    if (aborted_) {
      changed_.notify_all();
      return;
    }
    if (++collective.parts_done == size_) finish(lock, collective);
  }
}

bool ThreadGroup::front_is_ready(int64_t number) const {
  return completed_ == number && !pending_.empty() && pending_.front().arrived == size_;
}

/// Everybody has called. On a fake link, or on a test's clocks, it is known at once when the collective will end.
void ThreadGroup::start(Collective& collective) {
  for (const CollectiveCall& call : collective.calls) collective.started = std::max(collective.started, call.ready);
  if (link_.bytes_per_second == 0 && link_.clocks.empty()) return;
  collective.started = std::max(collective.started, link_free_);
  collective.finished = link_free_ = collective.started + link_seconds(collective.calls[0]);
}

double ThreadGroup::link_seconds(const CollectiveCall& call) const {
  if (link_.bytes_per_second == 0) return link_.latency_s;
  return link_.latency_s + call.bytes_on_link(size_) / link_.bytes_per_second;
}

void ThreadGroup::run_at_once(Collective& collective, int rank) {
  if (!member(rank).gpu) return run_part(Stream{}, collective.calls, rank);
  const Stream& stream = member(rank).gpu->stream;
  for (const Member& other : members_) {
    if (!other.gpu) fail(ErrorKind::usage, "replicas of {} are on the CPU and on a GPU: expected one device", label_);
    other.gpu->ready[static_cast<size_t>(completed_) % other.gpu->ready.size()]->block(stream);
  }
  if (last_done_) last_done_->block(stream);
  for (int part = 0; part < size_; ++part) run_part(stream, collective.calls, part);
  last_done_ = member(rank).gpu->done.get();
  last_done_->record(stream);
}

void ThreadGroup::finish(Lock& lock, Collective& collective) {
  if (link_.clocks.empty()) {
    if (link_.bytes_per_second > 0) {
      changed_.wait_until(lock, time_point(collective.finished), [&] { return aborted_.has_value(); });
      if (aborted_) return;
    } else {
      collective.started = std::max(collective.started, link_free_);
      collective.finished = link_free_ = machine_seconds();
    }
  }
  for (int rank = 0; rank < size_; ++rank) {
    const CollectiveCall& call = collective.calls[static_cast<size_t>(rank)];
    if (member(rank).tracing) {
      member(rank).trace.push_back(
          {call.name, call.bytes(size_), call.ready, collective.started, collective.finished, -1});
    }
  }
  pending_.pop_front();
  ++completed_;
  changed_.notify_all();
}

void ThreadGroup::refuse_if_aborted(Lock& lock, int rank, const CollectiveCall& call) {
  if (!aborted_) return;
  changed_.wait(lock, [&] { return running_ == 0; });  // the caller will give its memory back
  throw CollectiveAborted(aborted_->kind(),
                          fmt::format("replica {}: {} was ended: {}", rank, call.text(), aborted_->what()));
}

void ThreadGroup::abort_locked(const Error& reason) {
  if (!aborted_) aborted_ = reason;
  changed_.notify_all();
}

void ThreadGroup::abort(const Error& reason) {
  Lock lock(mutex_);
  abort_locked(reason);
  changed_.wait(lock, [&] { return running_ == 0; });
}

double ThreadGroup::now(int rank) const {
  return link_.clocks.empty() ? machine_seconds() : link_.clocks[static_cast<size_t>(rank)]->now();
}

std::string ThreadGroup::missing(const Collective& collective) const {
  std::string out;
  for (int rank = 0; rank < size_; ++rank) {
    if (!collective.called[static_cast<size_t>(rank)]) out += fmt::format("{}{}", out.empty() ? "" : ", ", rank);
  }
  return out;
}

std::string ThreadGroup::last_collective(int rank) const {
  const Lock lock(mutex_);
  const int64_t calls = member(rank).calls;
  if (calls == 0) return "none";
  const std::string text = fmt::format("number {}, {}", calls - 1, member(rank).last.text());
  if (calls <= completed_) return text + ", finished";
  const Collective& collective = pending_[static_cast<size_t>(calls - 1 - completed_)];
  if (collective.arrived == size_) return text + ", running";
  return fmt::format("{}, waits for replica {}", text, missing(collective));
}

int64_t ThreadGroup::calls(int rank) const {
  const Lock lock(mutex_);
  return member(rank).calls;
}

double ThreadGroup::waiting_seconds(int rank) const {
  const Lock lock(mutex_);
  if (member(rank).calls <= completed_) return 0;
  return machine_seconds() - pending_.front().calls[static_cast<size_t>(rank)].asked;
}

void ThreadGroup::set_tracing(int rank, bool on) {
  const Lock lock(mutex_);
  if (on && member(rank).gpu && size_ > 1) {
    fail(ErrorKind::usage, "collectives of several replicas on one GPU cannot be timed: profile with a GPU a replica");
  }
  member(rank).tracing = on;
}

std::vector<CollectiveTrace> ThreadGroup::take_trace(int rank) {
  const Lock lock(mutex_);
  return std::exchange(member(rank).trace, {});
}

}  // namespace bev
