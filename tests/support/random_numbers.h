// Numbers for tests: between -1 and 1, without any pattern that sums could follow, the same in every run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace bev::test {

template <class T>
std::vector<T> random_numbers(int64_t count, uint32_t seed) {
  std::mt19937 bits(seed);
  std::vector<T> out(static_cast<size_t>(count));
  for (T& value : out) value = static_cast<T>(static_cast<double>(bits()) * 0x1p-31 - 1);
  return out;
}

}  // namespace bev::test
