// A data set described for people.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.h"

namespace bev {

/// What is in it: fields, sizes, routes, statistics, where it came from. Several lines.
std::string describe(const Dataset& dataset);

/// The data sets of a directory: itself, or its train/ and val/. Throws Error(ErrorKind::data) if there is none.
std::vector<std::string> splits_of(const std::string& directory);

}  // namespace bev
