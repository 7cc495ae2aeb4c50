// A sample of the generated world for people: its raster, where the expert went, and what the tokens say.
#pragma once

#include "data/picture.h"
#include "data/world/samples.h"

namespace bev::world {

/// `metres` is the side of the raster. Beside the true trajectory that of constant velocity is drawn.
Picture sample_picture(const Drive& drive, const RouteSamples& route, const Sample& sample, double metres);

}  // namespace bev::world
