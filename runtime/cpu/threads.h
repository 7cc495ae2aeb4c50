// How many threads OpenMP gives to a loop of the calling thread: one where the program is built without it.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

namespace bev::cpu {

inline int max_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace bev::cpu
