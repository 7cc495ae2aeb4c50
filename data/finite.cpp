#include "data/finite.h"

#include <algorithm>

namespace bev {

namespace {

/// A number is not finite iff all bits of its exponent are set.
template <class Bits>
int64_t first_with_exponent(const Bits* data, int64_t elements, Bits exponent) {
  constexpr int64_t block = 4096 / sizeof(Bits);  // vectorised, without a branch inside
  for (int64_t start = 0; start < elements; start += block) {
    const int64_t end = std::min(start + block, elements);
    Bits found = 0;
    for (int64_t i = start; i < end; ++i) found |= static_cast<Bits>((data[i] & exponent) == exponent);
    if (found == 0) continue;
    for (int64_t i = start; i < end; ++i) {
      if ((data[i] & exponent) == exponent) return i;
    }
  }
  return -1;
}

}  // namespace

int64_t first_not_finite(DType type, const void* data, int64_t elements) {
  switch (type) {
    case DType::f32:
      return first_with_exponent(static_cast<const uint32_t*>(data), elements, uint32_t{0x7F800000});
    case DType::f64:
      return first_with_exponent(static_cast<const uint64_t*>(data), elements, uint64_t{0x7FF0000000000000});
    case DType::bf16:
      return first_with_exponent(static_cast<const uint16_t*>(data), elements, uint16_t{0x7F80});
    case DType::u8:
    case DType::i32:
    case DType::i64:
      break;
  }
  return -1;
}

}  // namespace bev
