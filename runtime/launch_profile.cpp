#include "runtime/launch_profile.h"

#include <algorithm>

#include "runtime/error.h"

namespace bev {

double LaunchProfile::Timed::median() const {
  std::vector<double> sorted = seconds;
  const auto middle = sorted.begin() + std::ssize(sorted) / 2;
  std::nth_element(sorted.begin(), middle, sorted.end());
  return sorted.empty() ? 0 : *middle;
}

void LaunchProfile::launch(const Stream& stream, const Launch& launch, const std::function<void(const Stream&)>& work) {
  const bool first_repetition = launches_.empty() || launches_[0].seconds.empty();
  if (first_repetition) {
    launches_.push_back({launch, {}});
    timers_.push_back(device_.make_timer());
  } else if (next_ == launches_.size() || launches_[next_].launch.name != launch.name) {
    fail(ErrorKind::runtime, "launch {} of a repetition is {}: expected the launches of the first one", next_,
         launch.name);
  }
  timers_[next_]->start(stream);
  work(stream);
  timers_[next_]->stop(stream);
  ++next_;
}

void LaunchProfile::end_repetition() {
  if (next_ != launches_.size()) {
    fail(ErrorKind::runtime, "a repetition launched {} times: expected {}, as the first", next_, launches_.size());
  }
  for (size_t i = 0; i < next_; ++i) launches_[i].seconds.push_back(timers_[i]->seconds());
  next_ = 0;
}

}  // namespace bev
