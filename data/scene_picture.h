// What the policy sees and does: a BEV raster, enlarged and coloured so that a person sees road, cars and walls, with
// trajectories drawn over it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/picture.h"

namespace bev {

/// Waypoints in the ego frame, metres, x forward, y left; drawn from the ego's centre through all of them.
struct DrawnTrajectory {
  std::string name;
  std::vector<std::array<double, 2>> points;
  Colour colour;
};

struct SceneOptions {
  int pixels = 512;                   // least side of the raster's picture; the enlargement is a whole number
  double metres = 64;                 // side of the raster
  std::vector<std::string> captions;  // lines above the raster
};

/// `raster` is U8 [3, side, side]: density, height (60 + 65 a metre), 0; the ego in the middle, heading up. Brightness
/// shows density; colour shows height: grey near the ground, blue for cars, violet above two metres. A point that is
/// not finite ends its trajectory.
Picture scene_picture(const uint8_t* raster, int side, std::span<const DrawnTrajectory> trajectories,
                      const SceneOptions& options);

}  // namespace bev
