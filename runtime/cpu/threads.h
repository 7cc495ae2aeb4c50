// How many threads OpenMP gives to a loop of the calling thread (one where the program is built without it), and when
// it is worth waking them.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

namespace bev::cpu {

/// Floating-point operations that one core does in the time that waking a team takes.
inline constexpr double serial_below = 1e6;

inline int max_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace bev::cpu
