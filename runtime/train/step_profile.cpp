#include "runtime/train/step_profile.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

namespace bev {

namespace {

constexpr std::array<const char*, step_phases> phase_names = {"waiting", "forward", "backward", "reduction",
                                                              "optimizer"};

nlohmann::ordered_json to_json(const StepTimes& times, size_t replica) {
  nlohmann::ordered_json out{{"replica", replica}};
  for (size_t phase = 0; phase < step_phases; ++phase) {
    out[fmt::format("{}_s", phase_names[phase])] = times.parts[phase];
  }
  out["communication_s"] = times.communication;
  out["hidden_s"] = times.hidden;
  return out;
}

}  // namespace

size_t ProfileReport::slowest() const {
  const auto found = std::max_element(replicas.begin(), replicas.end(),
                                      [](const StepTimes& a, const StepTimes& b) { return a.own() < b.own(); });
  return static_cast<size_t>(found - replicas.begin());
}

double ProfileReport::hidden_share() const {
  double communication = 0, hidden = 0;
  for (const StepTimes& times : replicas) communication += times.communication, hidden += times.hidden;
  return replicas.size() > 1 && communication > 0 ? hidden / communication : std::numeric_limits<double>::quiet_NaN();
}

std::string ProfileReport::text() const {
  if (steps == 0) return "profile: one step tells nothing: its first use of everything is in it";
  std::string out = fmt::format("profile of {} steps, milliseconds a step\n{:>22}", steps, "");
  for (const char* name : phase_names) out += fmt::format("{:>11}", name);
  out += fmt::format("{:>15}{:>10}\n", "communication", "hidden");
  const auto row = [&](const std::string& name, const StepTimes& times) {
    out += fmt::format("{:<22}", name);
    for (const double part : times.parts) out += fmt::format("{:>11.2f}", part * 1e3);
    out += fmt::format("{:>15.2f}{:>10.2f}\n", times.communication * 1e3, times.hidden * 1e3);
  };
  row("replica 0", replicas[0]);
  if (replicas.size() == 1) return out + "one replica: no communication to hide";
  row(fmt::format("replica {}, slowest", slowest()), replicas[slowest()]);
  return out + fmt::format("{:.0f} % of the communication was hidden behind backward", 100 * hidden_share());
}

nlohmann::ordered_json ProfileReport::json() const {
  nlohmann::ordered_json out{{"steps", steps}};
  out["hidden_share"] = hidden_share();
  out["first"] = to_json(replicas[0], 0);
  out["slowest"] = to_json(replicas[slowest()], slowest());
  return out;
}

StepProfile::StepProfile(Replica& replica, TrainingStep& step, int64_t accumulation) : replica_(replica), step_(step) {
  for (int64_t i = 0; i <= step.ahead(); ++i) {
    Parts& fresh = idle_.emplace_back();
    for (int64_t part = 0; part < accumulation * 4 + 1; ++part) {  // the optimiser's comes once
      fresh.timers.push_back(replica.device().make_timer());
    }
  }
  replica.reducer().set_tracing(true);
  step.set_watch([this](StepPhase phase) { mark(phase); });
}

StepProfile::~StepProfile() {
  step_.set_watch(nullptr);
  replica_.reducer().set_tracing(false);
}

void StepProfile::begin() {
  if (in_flight_.empty()) replica_.reducer().take_report();  // what was said between steps is not part of them
  in_flight_.push_back(std::move(idle_.front()));
  idle_.pop_front();
  in_flight_.back().phases.clear();
  in_flight_.back().timers[0]->start(replica_.context().stream);
}

void StepProfile::mark(StepPhase phase) {
  Parts& parts = in_flight_.back();
  const size_t part = parts.phases.size();
  parts.timers[part]->stop(replica_.context().stream);
  parts.phases.push_back(phase);
  if (part + 1 < parts.timers.size()) parts.timers[part + 1]->start(replica_.context().stream);
}

void StepProfile::end() {
  Parts parts = std::move(in_flight_.front());
  in_flight_.pop_front();
  const ReductionReport reduction = replica_.reducer().take_report();
  if (!first_) {
    for (size_t i = 0; i < parts.phases.size(); ++i) sums_.of(parts.phases[i]) += parts.timers[i]->seconds();
    sums_.communication += reduction.total_s();
    sums_.hidden += reduction.hidden_s();
    ++steps_;
  }
  first_ = false;
  idle_.push_back(std::move(parts));
}

ProfileReport StepProfile::report() const {
  std::array<double, step_phases + 2> own;
  std::copy(sums_.parts.begin(), sums_.parts.end(), own.begin());
  own[step_phases] = sums_.communication;
  own[step_phases + 1] = sums_.hidden;
  for (double& seconds : own) seconds /= static_cast<double>(std::max<int64_t>(steps_, 1));
  std::vector<double> all(own.size() * static_cast<size_t>(replica_.size()));
  replica_.host().all_gather(own.data(), all.data(), static_cast<int64_t>(own.size()), DType::f64, "profiles");
  replica_.host().release_to(Stream{});
  ProfileReport out{.steps = steps_, .replicas = {}};
  for (size_t begin = 0; begin < all.size(); begin += own.size()) {
    StepTimes times{.communication = all[begin + step_phases], .hidden = all[begin + step_phases + 1]};
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(begin), step_phases, times.parts.begin());
    out.replicas.push_back(times);
  }
  return out;
}

}  // namespace bev
