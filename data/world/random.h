// Random numbers of the generated world: a stream is a function of (seed, route, what for, part), so that a route is
// the same whatever thread makes it and whatever was made before, and that a change of the traffic leaves the roads
// alone.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/philox.h"

namespace bev::world {

enum class Purpose : uint32_t {
  route = 1,  // geometry, limits, target points
  signals,
  scenery,  // parked cars, walls, verges
  ego,      // its speed at the start
  traffic,
  raster,  // dropped points and noise; part: the frame
  tokens,  // noise; part: the frame
  weather,
  thinning,
  codebook,  // the directions of the tokens: of no seed and no route
};

class Random {
 public:
  Random(uint64_t seed, uint32_t route, Purpose purpose, uint32_t part = 0)
      : seed_(seed), route_(route), purpose_(static_cast<uint32_t>(purpose)), part_(part) {}

  uint32_t bits() {
    if (used_ == 4) {
      block_ = philox4x32(seed_, purpose_, route_, part_, blocks_++);
      used_ = 0;
    }
    return block_.word[used_++];
  }
  double uniform() { return bev::uniform<double>(bits()); }                           // [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }  // [low, high)
  bool chance(double probability) { return uniform() < probability; }
  int below(int n) { return static_cast<int>(static_cast<uint64_t>(bits()) * static_cast<uint64_t>(n) >> 32); }
  double normal() {
    const uint32_t a = bits(), b = bits();
    return bev::normal(a, b);
  }
  /// A Poisson number, by counting exponential intervals: for small means.
  int poisson(double mean) {
    int count = -1;
    for (double sum = 0; sum <= mean; ++count) sum -= std::log(1 - uniform());
    return count;
  }

 private:
  uint64_t seed_;
  uint32_t route_, purpose_, part_, blocks_ = 0;
  int used_ = 4;
  Random4 block_ = {};
};

}  // namespace bev::world
