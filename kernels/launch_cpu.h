// The CPU bodies of the three launches: OpenMP over elements, rows or column blocks, SIMD inside. Small work stays in
// the calling thread, since waking a team costs more than a few thousand operations.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/team.h"

namespace bev {

/// Into how many chunks of rows a column sum is cut. A function of the sizes alone, so that sums are the same on every
/// run.
inline int64_t column_chunks(int64_t rows, int64_t cols) {
  constexpr int64_t rows_at_least = 128, columns_wanted = 65536, chunks_at_most = 256;
  const int64_t wanted = std::max<int64_t>(1, columns_wanted / std::max<int64_t>(1, cols));
  return std::clamp<int64_t>(std::min(rows / rows_at_least, wanted), 1, chunks_at_most);
}

namespace cpu {

inline constexpr int64_t serial_below = 16384;  // elements

template <class Kernel>
void run_elements(int64_t n, Kernel kernel) {
#pragma omp parallel for simd schedule(static) firstprivate(kernel) if (n >= serial_below)
  for (int64_t i = 0; i < n; ++i) kernel(i);
}

template <class Kernel>
void run_rows(int64_t rows, [[maybe_unused]] int64_t width, const Kernel& kernel) {
  const CpuTeam team;
#pragma omp parallel for schedule(static) if (rows > 1 && rows * width >= serial_below)
  for (int64_t row = 0; row < rows; ++row) kernel(team, row);
}

template <class Kernel>
void run_columns(int64_t rows, int64_t cols, typename Kernel::Element* workspace, const Kernel& kernel) {
  using T = typename Kernel::Element;
  constexpr int sums = Kernel::sums;
  constexpr int64_t block = 64;
  const int64_t chunks = column_chunks(rows, cols), blocks = (cols + block - 1) / block;
  [[maybe_unused]] const bool parallel = rows * cols >= serial_below;
#pragma omp parallel for schedule(static) if (parallel)
  for (int64_t task = 0; task < chunks * blocks; ++task) {
    const int64_t chunk = task / blocks, first = task % blocks * block, count = std::min(block, cols - first);
    const int64_t begin = rows * chunk / chunks, end = rows * (chunk + 1) / chunks;
    T total[sums][block] = {};
    for (int64_t row = begin; row < end; ++row) {
      BEV_NO_ALIAS
      for (int64_t j = 0; j < count; ++j) {
        const std::array<T, sums> value = kernel.value(row, first + j);
        for (int s = 0; s < sums; ++s) total[s][j] += value[s];
      }
    }
    for (int s = 0; s < sums; ++s) std::copy_n(total[s], count, workspace + (chunk * sums + s) * cols + first);
  }
#pragma omp parallel for schedule(static) if (parallel && chunks * cols >= serial_below)
  for (int64_t col = 0; col < cols; ++col) {
    std::array<T, sums> total = {};
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      for (int s = 0; s < sums; ++s) total[s] += workspace[(chunk * sums + s) * cols + col];
    }
    kernel.finish(col, total);
  }
}

}  // namespace cpu
}  // namespace bev
