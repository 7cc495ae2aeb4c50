// Reading what data sets hold in the type that the model computes in. bf16 is stored as its bits, the upper half of a
// float, so widening it is exact.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "kernels/annotate.h"

namespace bev {

/// A stored element as a number; bf16 is uint16_t.
template <class T, class Stored>
BEV_HD inline T from_stored(Stored x) {
  if constexpr (std::is_same_v<Stored, uint16_t>) {
    return static_cast<T>(std::bit_cast<float>(static_cast<uint32_t>(x) << 16));
  } else {
    return static_cast<T>(x);
  }
}

}  // namespace bev
