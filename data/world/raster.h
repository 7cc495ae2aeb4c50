// A moment as a LiDAR raster of bird's-eye view: the ego in the middle, its heading up.
#pragma once

#include <cstdint>

#include "data/world/drive.h"

namespace bev::world {

/// Renders moment `frame` of a drive into `out`, U8 [3, side, side]: density min(255, 90 log2(1 + points)), height
/// 60 + 65 a metre of the tallest point (0 where there is none), zeros. Points are lost with distance and placed with
/// 5 cm of noise, differently in every frame.
void render(const Drive& drive, int frame, int side, double metres, uint8_t* out);

}  // namespace bev::world
