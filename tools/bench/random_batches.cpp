#include "tools/bench/random_batches.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "kernels/philox.h"

namespace bev {

namespace {

uint16_t to_bf16(float value) { return static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + 0x8000u) >> 16); }

/// `value(u, i)`: the i-th element, from a number u that is evenly distributed in [0, 1).
template <class T, class Value>
void fill(const Tensor& tensor, uint64_t seed, uint32_t field, uint32_t number, Value value) {
  T* out = tensor.data<T>();
  const int64_t n = tensor.size();
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < (n + 3) / 4; ++block) {
    const Random4 bits = philox4x32(seed, static_cast<uint32_t>(block), field, number, 0);
    for (int64_t i = 4 * block; i < std::min(n, 4 * block + 4); ++i) {
      out[i] = value(uniform<float>(bits.word[i - 4 * block]), i);
    }
  }
}

}  // namespace

void fill_randomly(const Batch& batch, const PolicyConfig& policy, uint64_t seed, uint32_t number) {
  const auto unit = [](float u, int64_t) { return std::sqrt(12.0f) * (u - 0.5f); };
  const auto waypoint = [&](float u, int64_t i) {
    const auto axis = static_cast<size_t>(i % 2);
    return policy.action_min[axis] + static_cast<double>(u) * (policy.action_max[axis] - policy.action_min[axis]);
  };
  uint32_t place = 0;
  for (const Batch::Field& field : batch.fields) {
    const Tensor& value = field.value;
    const uint32_t f = place++;
    switch (value.dtype()) {
      case DType::bf16:
        fill<uint16_t>(value, seed, f, number, [&](float u, int64_t i) { return to_bf16(unit(u, i)); });
        break;
      case DType::u8:
        fill<uint8_t>(value, seed, f, number, [](float u, int64_t) { return static_cast<uint8_t>(u * 256.0f); });
        break;
      default:
        visit_float(value.dtype(), [&]<class T>(T) {
          if (field.name == "agent_pos") {
            fill<T>(value, seed, f, number, [&](float u, int64_t i) { return static_cast<T>(waypoint(u, i)); });
          } else {
            fill<T>(value, seed, f, number, [&](float u, int64_t i) { return static_cast<T>(unit(u, i)); });
          }
        });
    }
  }
}

RandomBatches::RandomBatches(const PolicyConfig& policy, const std::vector<FieldSpec>& fields, int64_t batch,
                             uint64_t seed, const HostAllocator& allocate)
    : fields_(fields) {
  uint32_t number = 0;
  for (Batch& made : batches_) {
    made = allocate_batch(fields, batch, allocate);
    std::iota(made.samples.begin(), made.samples.end(), number * batch);
    fill_randomly(made, policy, seed, number++);
  }
}

const Batch& RandomBatches::next() {
  next_ = 1 - next_;
  return batches_[1 - next_];
}

}  // namespace bev
