// What can be chosen about the generated world. Two tried sets by name; lengths in metres, speeds in m/s, times in
// seconds, rates per second.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bev::world {

struct Range {
  double low, high;
};

/// A kind of town. See settings.cpp for the sets.
struct WorldSettings {
  std::string name;
  Range straight;            // between junctions and curves
  double junctions, curves;  // probability that a straight ends in one
  Range radius;              // of curves
  Range target_spacing;      // of the sparse route points
  double blockers;           // density of parked cars that reach into the lane
  double traffic;            // density of cars ahead
  double stops;              // rate at which a car ahead stops for no visible reason
  double parked, walls;      // probability at a candidate place, each side
  bool verges;               // scattered returns beside the road
};

/// "balanced" or "obstacle-rich". Throws Error(ErrorKind::usage) for any other name.
WorldSettings world_settings(std::string_view name);

/// What is recorded of a drive.
struct RecordingSettings {
  double seconds = 45;  // of one route, at 2 Hz
  int history = 4;      // observed steps of a sample, To
  int horizon = 6;      // future waypoints of a sample, H
  int raster = 64;      // pixels a side, a multiple of 32, over `metres`
  double metres = 64;
};

constexpr double step_seconds = 0.1;  // of the simulation
constexpr int steps_a_frame = 5;      // recorded at 2 Hz
constexpr double frame_seconds = step_seconds * steps_a_frame;

}  // namespace bev::world
