// The order of a parameter's elements in files. Filters are computed with as [out, height, width, in] and stored as
// [out, in, height, width]; everything else is the same in both.
#pragma once

#include <span>

#include "runtime/parameter.h"

namespace bev {

/// From the order of computing to that of files; both have parameter.size() elements and do not overlap.
template <class T>
void to_file_layout(const Parameter& parameter, std::span<const T> computed, std::span<T> filed);

/// The reverse.
template <class T>
void from_file_layout(const Parameter& parameter, std::span<const T> filed, std::span<T> computed);

}  // namespace bev
