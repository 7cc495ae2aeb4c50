// A wish from outside, such as a signal's, that training end after a whole step. All replicas must end after the same
// one, without a word between them in every step: replica 0 fixes it, far enough ahead that nobody has passed it.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

namespace bev {

/// One for all replicas of a run; any thread.
class StopRequest {
 public:
  /// May be called in a signal handler.
  void ask() noexcept { asked_.store(true, std::memory_order_relaxed); }
  bool asked() const noexcept { return asked_.load(std::memory_order_relaxed); }

  /// Whether the replica is to end instead of starting step `step`. Called by each before every step it starts, with
  /// at most `ahead` steps in flight. Nobody starts step s before step s - 1 - ahead is finished on all replicas, so
  /// when replica 0 fixes the end at the start of step k, all others hear of it before they start step k + 1 + ahead.
  bool ends_before(int64_t step, int rank, int replicas, int64_t ahead) {
    if (rank == 0 && asked() && last_.load() == never) last_.store(replicas == 1 ? step : step + 1 + ahead);
    return step >= last_.load();
  }

 private:
  static constexpr int64_t never = std::numeric_limits<int64_t>::max();
  static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers need it");
  std::atomic<bool> asked_ = false;
  std::atomic<int64_t> last_ = never;
};

}  // namespace bev
