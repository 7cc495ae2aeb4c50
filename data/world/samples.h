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
  int moment;                           // of the drive: the present. Its rasters are those of the To moments up to it
};

/// Of the samples in which the ego stands still from the first observed step to the last waypoint only a quarter is
/// kept. A function of its arguments.
std::vector<Sample> make_samples(const Drive& drive, const RecordingSettings& recording);

/// The rasters that samples of a drive show, by moment, each U8 [3, side, side]; empty for moments that none shows.
std::vector<std::vector<uint8_t>> make_rasters(const Drive& drive, const std::vector<Sample>& samples,
                                               const RecordingSettings& recording);

}  // namespace bev::world
