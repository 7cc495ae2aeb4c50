// Independent jobs on a few threads.
#pragma once

#include <cstdint>
#include <functional>

namespace bev {

/// Calls body(i) for 0 <= i < jobs, each once, on `threads` threads (the caller's among them), in no order. After the
/// first exception no further job is started; it is thrown here when all threads are done.
void parallel_for(int64_t jobs, int threads, const std::function<void(int64_t)>& body);

}  // namespace bev
