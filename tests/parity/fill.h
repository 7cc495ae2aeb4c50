// The rule by which parity cases make parameters and inputs out of their names, so that a case holds neither. Any
// implementation that follows it starts from the same numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/shape.h"

namespace bev::parity {

/// FNV-1a, 64 bits.
uint64_t hash_name(std::string_view name);
/// One step of splitmix64 as a function of its state.
uint64_t splitmix64(uint64_t x);

/// Element i is factor * u(name, i), u uniform in [-1, 1): u = (splitmix64(hash(name) + i) >> 11) * 2^-53 * 2 - 1.
std::vector<double> fill_input(std::string_view name, int64_t elements, double factor);
/// A parameter or buffer in its file's shape: around 1 (1-D `running_var` and `weight`), around 0 (other 1-D), 0.5 u
/// (3-D with a leading 1), else with unit variance gain, u * sqrt(3 / fan_in).
std::vector<double> fill_parameter(std::string_view name, const Shape& file_shape);

/// The elements at which large tensors are compared: splitmix64(hash("sample." + name) + k) mod elements, k = 0 .. 63.
std::vector<int64_t> sampled_elements(std::string_view name, int64_t elements);

}  // namespace bev::parity
