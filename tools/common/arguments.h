// What programs share in reading their command lines.
#pragma once

#include <cxxopts.hpp>
#include <string>
#include <vector>

namespace bev {

/// Every value given for an option that may be repeated, as it was written: the library itself cuts a value at its
/// commas, and a configuration's values have some.
inline std::vector<std::string> values_of(const cxxopts::ParseResult& arguments, const std::string& option) {
  std::vector<std::string> out;
  for (const auto& argument : arguments.arguments()) {
    if (argument.key() == option) out.push_back(argument.value());
  }
  return out;
}

}  // namespace bev
