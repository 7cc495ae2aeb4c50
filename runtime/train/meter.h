// What progress reports are made of: sums over the steps since the last one, and the clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace bev {

class Meter {
 public:
  /// Training begins, or goes on after a pause that is not to be counted.
  void start() { since_ = Clock::now(); }
  /// Time since start() or the last reading is training; what comes next is not.
  void pause() {
    training_s_ += seconds_since(since_);
    since_ = Clock::now();
  }

  double since_pause() const { return seconds_since(since_); }

  void add_step(double loss, bool counts, int64_t samples) {
    ++steps_;
    samples_ += samples;
    if (!counts) return;
    loss_ += loss;
    ++losses_;
  }

  struct Reading {
    int64_t steps = 0;
    double loss = 0;  // mean
    double samples_per_second = 0;
    double seconds_a_step = 0;
    double waiting_share = 0;
  };
  /// Since the last reading.
  Reading read(double waiting_seconds) {
    pause();
    Reading out{.steps = steps_};
    out.loss = loss_ / static_cast<double>(losses_);  // NaN where no step counted
    if (training_s_ > 0) {
      out.samples_per_second = static_cast<double>(samples_) / training_s_;
      out.waiting_share = waiting_seconds / training_s_;
    }
    if (steps_ > 0) out.seconds_a_step = training_s_ / static_cast<double>(steps_);
    *this = Meter();
    start();
    return out;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds_since(Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  }

  Clock::time_point since_ = Clock::now();
  double training_s_ = 0;
  int64_t steps_ = 0, samples_ = 0, losses_ = 0;
  double loss_ = 0;
};

}  // namespace bev
