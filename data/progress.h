// How far a long job is.
#pragma once

#include <cstdint>
#include <functional>

namespace bev {

/// Parts done, of how many; now and then, and at the end. Called by one thread at a time.
using ProgressCallback = std::function<void(int64_t done, int64_t total)>;

}  // namespace bev
