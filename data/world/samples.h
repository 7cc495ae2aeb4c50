// What the policy is trained on, cut from a drive: at each recorded moment the last To states and rasters, the tokens,
// and the next H positions.
#pragma once

#include <cstdint>
#include <vector>

#include "data/world/drive.h"

namespace bev::world {

constexpr int state_size = 14;

struct Sample {
  std::vector<float> ego_status;  // [To, 14]: speed, heading, throttle, brake, command one-hot (6), target, position;
                                  // places and headings relative to the ego now
  std::vector<float> agent_pos;   // [H, 2]: x forward, y left, m
  std::vector<uint16_t> vl, reasoning;  // bf16, see tokens.h
  std::vector<int> frames;              // [To]: numbers within `RouteSamples::rasters`, oldest first
  int moment;                           // of the drive: the present
};

struct RouteSamples {
  uint32_t route;
  int raster_side;
  std::vector<std::vector<uint8_t>> rasters;  // each [3, side, side]; only those that a sample shows
  std::vector<Sample> samples;
};

/// Of the samples in which the ego stands still from the first observed step to the last waypoint only a quarter is
/// kept. A function of its arguments.
RouteSamples make_samples(const Drive& drive, const RecordingSettings& recording);

}  // namespace bev::world
