// Times every launch of a piece of work that is repeated and is the same every time, as a training step is: an observer
// that keeps, for each launch in order, the time that it took in every repetition.
#pragma once

#include <memory>
#include <vector>

#include "runtime/device.h"

namespace bev {

class LaunchProfile : public LaunchObserver {
 public:
  /// `device` outlives the profile and is the one of all streams that carry it.
  explicit LaunchProfile(Device& device) : device_(device) {}

  /// To be called after each repetition; waits for its work.
  void end_repetition();

  struct Timed {
    Launch launch;
    std::vector<double> seconds;  // by repetition
    double median() const;
  };
  /// In the order in which they were launched. Throws Error if a repetition launched other things than the first.
  const std::vector<Timed>& launches() const { return launches_; }

  void launch(const Stream& stream, const Launch& launch, const std::function<void(const Stream&)>& work) override;

 private:
  Device& device_;
  std::vector<Timed> launches_;
  std::vector<std::unique_ptr<Timer>> timers_;  // by launch, used again in each repetition
  size_t next_ = 0;
};

}  // namespace bev
