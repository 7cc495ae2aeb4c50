// Traffic signals at junctions, on the ego's approach: fixed cycles, and when they make a driver stop.
#pragma once

#include <optional>
#include <vector>

#include "data/world/driver.h"
#include "data/world/route.h"

namespace bev::world {

enum class Light { green, yellow, red };

struct Signal {
  double box;                     // where the junction's box begins
  double green, yellow = 2, red;  // durations
  double phase;                   // seconds into the cycle at time 0

  double stop() const { return box - 3.7; }  // where the centre of a waiting car is to be at the latest
  struct State {
    Light light;
    double remaining;  // seconds
  };
  State state(double time) const;
};

/// At 70 % of the junctions; ascending.
std::vector<Signal> place_signals(const Route& route);

/// The nearest signal whose stop position lies ahead of `s`, or null.
const Signal* next_signal(const std::vector<Signal>& signals, double s);

/// The signal as a standing leader for a driver at `s` with speed `v`, where it must stop: at red; at yellow if it can
/// stop comfortably (3 m/s^2) or would not pass before red. Nobody brakes harder than 4.5 m/s^2 for a signal: who would
/// need to was too near when it turned yellow, and passes in time.
std::optional<Leader> signal_leader(const std::vector<Signal>& signals, double time, double s, double v);

}  // namespace bev::world
