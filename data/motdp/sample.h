// One sample of a MoT-DP tree: a pickled dict of arrays, and the paths of its frames and of its vision-language tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bev::motdp {

struct Sample {
  int64_t steps = 0;       // observed, To
  int64_t state_size = 0;  // D
  int64_t horizon = 0;     // future waypoints, H
  /// [To, D]: speed (m/s), heading, throttle, brake, command (one-hot, 6), target point (m, 2), position (m, 2).
  std::vector<float> ego_status;
  std::vector<float> agent_pos;      // [H, 2]: metres, present ego frame; the present itself is left out
  std::vector<std::string> rasters;  // [To]: under the image root, oldest first
  std::string vqa;                   // under the image root; empty if there is none
  std::string route;                 // the folder of its frames: "Town01/data/Route_0"
};

/// Reads a pickle's bytes; `where` is its path, for messages. Throws Error(ErrorKind::data) naming file and key.
Sample read_sample(std::span<const std::byte> bytes, const std::string& where);

/// Where the precomputed tokens of a raster lie: ".../lidar_bev/0000.png" -> ".../lidar_bev_features/0000_token.pt".
std::string token_path(const std::string& raster);

}  // namespace bev::motdp
