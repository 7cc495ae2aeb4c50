// The stand-in for the tokens of a vision-language model: what the raster cannot show (signal, speed limit, brake
// lights), as vectors. Token i is a type vector + the sum of its values, each times a direction of its own, + noise.
// Types and directions are the same in every world, so that what is learnt in one seed holds in another.
//   0  signal of the next junction within 50 m: 2 on the direction of its colour; distance to the box d/25 - 1
//   1  speed limit here and 25 m ahead, (limit - 9)/3
//   2  +1 if a car within 45 m ahead brakes, else -1
//   3-5  weather: constant over a route, of no use     6, 7  noise
// The first two reasoning rows hold the values of 0 and 1 (own noise), the third is zero.
#pragma once

#include <cstdint>
#include <vector>

#include "data/world/drive.h"

namespace bev::world {

constexpr int vl_tokens = 8, reasoning_tokens = 3, token_width = 32;

struct Tokens {
  std::vector<uint16_t> vl;         // bf16 [vl_tokens, token_width]
  std::vector<uint16_t> reasoning;  // bf16 [reasoning_tokens, token_width]
};

/// Of moment `frame` of a drive.
Tokens make_tokens(const Drive& drive, int frame);

/// The nearest bf16 number, ties to even.
uint16_t to_bf16(float value);

}  // namespace bev::world
