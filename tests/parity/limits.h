// How far from the original a result may be in float64 and float32: a number a kind of entry.
#pragma once

#include "tests/parity/checker.h"

namespace bev::parity {

/// Whether every entry is within the limit of its kind. Prints the worst of each kind, and every entry that is out.
bool within_limits(const Case& test, Numbers numbers, const std::map<std::string, Found>& found, bool verbose);

}  // namespace bev::parity
