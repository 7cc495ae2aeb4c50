// What a replica is doing, in words, for the threads that have to say so when it fails or does not arrive. Written by
// the replica's thread at every op (a lock that nobody else holds costs less than any kernel), read from any thread.
#pragma once

#include <fmt/core.h>

#include <mutex>
#include <string>
#include <string_view>

namespace bev {

class Activity {
 public:
  /// `doing` and `op` are literals: "forward of", "linear". `where` is the part of the model, or empty.
  void set(const char* doing, const char* op, std::string_view where = {}) {
    const std::lock_guard lock(mutex_);
    doing_ = doing;
    op_ = op;
    where_ = where;
  }
  /// The optimiser step that is being computed, from 0; -1: none.
  void set_step(int64_t step) {
    const std::lock_guard lock(mutex_);
    step_ = step;
  }
  /// "step 12, backward of linear in decoder.layers.0"
  std::string text() const {
    const std::lock_guard lock(mutex_);
    std::string out = step_ < 0 ? std::string() : fmt::format("step {}, ", step_);
    out += fmt::format("{} {}", doing_, op_);
    return where_.empty() ? out : fmt::format("{} in {}", out, where_);
  }

 private:
  mutable std::mutex mutex_;
  const char *doing_ = "before", *op_ = "the first op";
  std::string where_;
  int64_t step_ = -1;
};

}  // namespace bev
