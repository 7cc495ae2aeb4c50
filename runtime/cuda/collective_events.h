// What events on a communicator's stream tell of its collectives: which are still running, and, for profiles, when they
// ran. Not thread-safe.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cuda/nccl_calls.h"
#include "runtime/distributed/communicator.h"

namespace bev::nccl {

using EventHandle = std::shared_ptr<GpuEvent>;

/// Collectives that were enqueued, until they are done. Events are used again: in training none is made.
class RunningCollectives {
 public:
  /// One that `stream` holds last.
  void add(cudaStream_t stream, double asked) {
    forget_finished();
    if (spare_.empty()) spare_.push_back(std::make_unique<GpuEvent>(false));
    spare_.back()->record(stream);
    running_.push_back({std::move(spare_.back()), asked});
    spare_.pop_back();
  }
  bool any() {
    forget_finished();
    return !running_.empty();
  }
  /// When the oldest one was asked for. Only where there is any.
  double oldest() const { return running_.front().asked; }

 private:
  struct Running {
    std::unique_ptr<GpuEvent> finished;
    double asked;
  };
  void forget_finished() {
    for (; !running_.empty() && running_.front().finished->reached(); running_.pop_front()) {
      spare_.push_back(std::move(running_.front().finished));
    }
  }

  std::deque<Running> running_;
  std::vector<std::unique_ptr<GpuEvent>> spare_;
};

/// When collectives were ready to start, started, finished and were needed; see CollectiveTrace.
class CollectiveTimer {
 public:
  void turn(bool on, cudaStream_t stream) {
    on_ = on;
    if (on) zero_ = mark(stream);
  }
  /// Compute has got where collectives from here on wait for it.
  void ready(cudaStream_t compute) {
    if (on_) ready_ = mark(compute);
  }
  /// Compute has got where it needs all collectives so far.
  void needed(cudaStream_t compute) {
    if (!on_) return;
    const EventHandle here = mark(compute);
    for (Timed& timed : timed_) {
      if (!timed.needed) timed.needed = here;
    }
  }
  /// Around a collective's launch.
  void begin(const char* name, int64_t bytes, cudaStream_t stream) {
    if (on_) current_ = {name, bytes, ready_, mark(stream), nullptr, nullptr};
  }
  void end(cudaStream_t stream) {
    if (!on_) return;
    current_.finished = mark(stream);
    timed_.push_back(std::move(current_));
  }
  std::vector<CollectiveTrace> take() {
    const auto end = std::find_if_not(timed_.begin(), timed_.end(), [](const Timed& timed) {
      return timed.needed && timed.finished->reached() && timed.needed->reached();
    });
    std::vector<CollectiveTrace> out;
    std::for_each(timed_.begin(), end, [&](const Timed& timed) {
      const auto at = [&](const EventHandle& event) { return event ? event->seconds_after(*zero_) : 0.0; };
      out.push_back(
          {timed.name, timed.bytes, at(timed.ready), at(timed.started), at(timed.finished), at(timed.needed)});
    });
    // Events tell time as a float of milliseconds, which over an hour is no finer than a collective takes: begin anew,
    // with what comes before all that is still to be told.
    if (end != timed_.begin() && std::prev(end)->ready) zero_ = std::prev(end)->ready;
    timed_.erase(timed_.begin(), end);
    return out;
  }

 private:
  struct Timed {
    std::string name;
    int64_t bytes;
    EventHandle ready, started, finished, needed;
  };
  static EventHandle mark(cudaStream_t stream) {
    const auto out = std::make_shared<GpuEvent>(true);
    out->record(stream);
    return out;
  }

  bool on_ = false;
  EventHandle zero_, ready_;
  Timed current_;
  std::vector<Timed> timed_;
};

}  // namespace bev::nccl
