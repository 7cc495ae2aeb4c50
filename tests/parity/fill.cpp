#include "tests/parity/fill.h"

#include <cmath>

namespace bev::parity {

uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

uint64_t splitmix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::vector<double> fill_input(std::string_view name, int64_t elements, double factor) {
  const uint64_t hash = hash_name(name);
  std::vector<double> out(static_cast<size_t>(elements));
  for (size_t i = 0; i < out.size(); ++i) {
    const double u = static_cast<double>(splitmix64(hash + i) >> 11) * 0x1p-53 * 2 - 1;
    out[i] = factor * u;
  }
  return out;
}

std::vector<double> fill_parameter(std::string_view name, const Shape& file_shape) {
  const int64_t elements = file_shape.elements();
  if (file_shape.rank() == 1) {
    if (!name.ends_with("running_var") && !name.ends_with("weight")) return fill_input(name, elements, 0.1);
    std::vector<double> out = fill_input(name, elements, 0.25);
    for (double& value : out) value += 1;
    return out;
  }
  if (file_shape.rank() == 3 && file_shape[0] == 1) return fill_input(name, elements, 0.5);
  const auto fan_in = static_cast<double>(elements / file_shape[0]);
  return fill_input(name, elements, std::sqrt(3 / fan_in));
}

std::vector<int64_t> sampled_elements(std::string_view name, int64_t elements) {
  const uint64_t hash = hash_name("sample." + std::string(name));
  std::vector<int64_t> out;
  for (uint64_t k = 0; k < 64; ++k) {
    out.push_back(static_cast<int64_t>(splitmix64(hash + k) % static_cast<uint64_t>(elements)));
  }
  return out;
}

}  // namespace bev::parity
