#include "data/world/signals.h"

#include <algorithm>
#include <cmath>

#include "data/world/random.h"

namespace bev::world {

Signal::State Signal::state(double time) const {
  const double cycle = green + yellow + red;
  const double at = std::fmod(time + phase, cycle);
  if (at < green) return {Light::green, green - at};
  if (at < green + yellow) return {Light::yellow, green + yellow - at};
  return {Light::red, cycle - at};
}

std::vector<Signal> place_signals(const Route& route) {
  Random random(route.seed, route.number, Purpose::signals);
  std::vector<Signal> signals;
  for (const Junction& junction : route.junctions) {
    const bool there = random.chance(0.7);
    Signal signal{.box = junction.entry, .green = random.uniform(7, 13), .red = random.uniform(6, 12), .phase = 0};
    signal.phase = random.uniform(0, signal.green + signal.yellow + signal.red);
    if (there) signals.push_back(signal);
  }
  return signals;
}

const Signal* next_signal(const std::vector<Signal>& signals, double s) {
  const auto next = std::upper_bound(signals.begin(), signals.end(), s,
                                     [](double value, const Signal& signal) { return value < signal.stop(); });
  return next == signals.end() ? nullptr : &*next;
}

std::optional<Leader> signal_leader(const std::vector<Signal>& signals, double time, double s, double v) {
  const Signal* signal = next_signal(signals, s);
  if (!signal) return std::nullopt;
  const double gap = signal->stop() - s;
  const Signal::State now = signal->state(time);
  if (gap > 60 || now.light == Light::green || v * v > 2 * 4.5 * gap) return std::nullopt;
  const bool passes = now.light == Light::yellow && v * v >= 2 * 3.0 * gap && gap < 0.9 * v * now.remaining;
  if (passes) return std::nullopt;
  return Leader{.gap = gap + 1.2, .speed = 0};
}

}  // namespace bev::world
