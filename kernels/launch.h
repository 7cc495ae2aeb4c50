// Launching a kernel that is written once for both devices. A kernel is a small struct of pointers and sizes with an
// operator() that says what one element, one row or one column does; it has a member type `Element`, the floating-point
// type it computes in, and `double bytes(items)`: what so many elements, rows, or rows times columns have to read and
// write at least, small vectors that all of them share left out.
//
//   for_elements(stream, n, kernel)          kernel(i) for i in 0..n-1
//   for_rows(stream, rows, width, kernel)    kernel(team, row): a team shares a row of about `width` elements
//   for_columns(stream, rows, cols, workspace, kernel)
//       sums over rows, a column at a time: kernel.value(row, col) returns std::array<Element, Kernel::sums>, and
//       kernel.finish(col, sums) receives their totals
//
// The order of every summation is fixed by the sizes alone: results do not depend on threads, and are the same in every
// run. The CPU bodies are in launch_cpu.h. The CUDA bodies are in launch_cuda.cuh, instantiated in the .cu file beside
// the kernels' header (a kernel missing there is a link error). float64 kernels exist on the CPU only.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <typeinfo>

#include "kernels/launch_cpu.h"
#include "kernels/stream.h"

namespace bev {

namespace cuda {
template <class Kernel>
void run_elements(const Stream& stream, int64_t n, const Kernel& kernel);
template <class Kernel>
void run_rows(const Stream& stream, int64_t rows, int64_t width, const Kernel& kernel);
template <class Kernel>
void run_columns(const Stream& stream, int64_t rows, int64_t cols, typename Kernel::Element* workspace,
                 const Kernel& kernel);
}  // namespace cuda

#ifdef BEV_HAS_CUDA
inline constexpr bool built_with_cuda = true;
#else
inline constexpr bool built_with_cuda = false;
#endif

template <class Kernel>
inline constexpr bool runs_on_cuda = built_with_cuda && !std::is_same_v<typename Kernel::Element, double>;

[[noreturn]] inline void refuse_launch() {
  throw std::logic_error(built_with_cuda
                             ? "a float64 kernel was launched on a CUDA device: float64 runs on the CPU only"
                             : "a kernel was launched on a CUDA device, but this program was built without CUDA");
}

/// Counts a launch on a dry stream.
template <class Kernel>
void tally_launch(const Stream& stream, int64_t items, const Kernel& kernel) {
  if (!stream.tally) return;
  stream.tally->launches += 1;
  stream.tally->bytes += kernel.bytes(items);
}

template <class Kernel>
Launch launch_of(int64_t items, const Kernel& kernel) {
  return {.name = typeid(Kernel).name(), .bytes = kernel.bytes(items)};
}

template <class Kernel>
void for_elements(const Stream& stream, int64_t n, const Kernel& kernel) {
  if (n == 0) return;
  if (stream.observer) {
    return observe(stream, launch_of(n, kernel), [n, kernel](const Stream& own) { for_elements(own, n, kernel); });
  }
  if (stream.kind == DeviceKind::cpu) return cpu::run_elements(n, kernel);
  if (stream.kind == DeviceKind::dry) return tally_launch(stream, n, kernel);
  if constexpr (runs_on_cuda<Kernel>) {
    cuda::run_elements(stream, n, kernel);
  } else {
    refuse_launch();
  }
}

template <class Kernel>
void for_rows(const Stream& stream, int64_t rows, int64_t width, const Kernel& kernel) {
  if (rows == 0) return;
  if (stream.observer) {
    return observe(stream, launch_of(rows, kernel),
                   [rows, width, kernel](const Stream& own) { for_rows(own, rows, width, kernel); });
  }
  if (stream.kind == DeviceKind::cpu) return cpu::run_rows(rows, width, kernel);
  if (stream.kind == DeviceKind::dry) return tally_launch(stream, rows, kernel);
  if constexpr (runs_on_cuda<Kernel>) {
    cuda::run_rows(stream, rows, width, kernel);
  } else {
    refuse_launch();
  }
}

/// Elements of workspace that for_columns needs: partial sums of the chunks into which rows are cut.
template <class Kernel>
int64_t columns_workspace(int64_t rows, int64_t cols) {
  return column_chunks(rows, cols) * cols * Kernel::sums;
}

template <class Kernel>
void for_columns(const Stream& stream, int64_t rows, int64_t cols, typename Kernel::Element* workspace,
                 const Kernel& kernel) {
  if (cols == 0) return;
  if (stream.observer) {
    return observe(stream, launch_of(rows * cols, kernel), [rows, cols, workspace, kernel](const Stream& own) {
      for_columns(own, rows, cols, workspace, kernel);
    });
  }
  if (stream.kind == DeviceKind::cpu) return cpu::run_columns(rows, cols, workspace, kernel);
  if (stream.kind == DeviceKind::dry) return tally_launch(stream, rows * cols, kernel);
  if constexpr (runs_on_cuda<Kernel>) {
    cuda::run_columns(stream, rows, cols, workspace, kernel);
  } else {
    refuse_launch();
  }
}

}  // namespace bev
