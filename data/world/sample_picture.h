// A sample of the generated world for people: its raster, where the expert went, and what the tokens say.
#pragma once

#include "data/picture.h"
#include "data/world/samples.h"

namespace bev::world {

/// `raster` U8 [3, side, side] is that of the sample's moment and shows `metres` a side. Beside the true trajectory
/// that of constant velocity is drawn.
Picture sample_picture(const Drive& drive, const Sample& sample, const uint8_t* raster, int side, double metres);

}  // namespace bev::world
