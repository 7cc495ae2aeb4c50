#include "runtime/cpu/block_matmul.h"

#include <algorithm>

#include "runtime/cpu/block_product.h"
#include "runtime/cpu/threads.h"
#include "runtime/tally.h"

namespace bev::cpu {

namespace {

/// Into how many pieces the columns of one block of rows are cut: enough for every thread to have work, yet not so
/// narrow that packing A again for each piece shows.
int64_t column_pieces(int64_t columns, int64_t blocks, int64_t threads, int64_t strip) {
  if (threads == 1) return 1;
  const int64_t wide = std::max<int64_t>(1, columns / (4 * strip));
  const int64_t wanted = divide_up(4 * threads, blocks), needed = divide_up(threads, blocks);
  return std::min(divide_up(columns, strip), std::max(needed, std::min(wanted, wide)));
}

}  // namespace

template <class Factor, class T>
void block_matmul(const MatmulShape& s, const T* a, const T* b, T* c, T alpha, bool accumulate, const T* bias) {
  using B = Blocking<Factor>;
  const int64_t down = divide_up(s.m, B::rows), strips = divide_up(s.n, B::tile_columns);
  if (s.batch * down * strips == 0) return;
  const int64_t threads = flop_of(s) < serial_below ? 1 : max_threads();
  const int64_t pieces = column_pieces(s.n, s.batch * down, threads, B::tile_columns);
  const auto piece = [&](int64_t task) {
    const int64_t member = task / (down * pieces), row = task / pieces % down * B::rows;
    const int64_t first = strips * (task % pieces) / pieces * B::tile_columns;
    const int64_t end = std::min(s.n, strips * (task % pieces + 1) / pieces * B::tile_columns);
    const Operand<T> rows = left_operand(s, a + member * s.stride_a);
    const Operand<T> columns = right_operand(s, b + member * s.stride_b);
    multiply<Factor>(std::min(B::rows, s.m - row), end - first, s.k, rows.from(row, 0), columns.from(0, first),
                     c + member * s.stride_c + row * s.ldc + first, s.ldc,
                     {alpha, accumulate, bias ? bias + first : nullptr});
  };
  const int64_t tasks = s.batch * down * pieces;
  if (threads == 1 || tasks == 1) {
    for (int64_t task = 0; task < tasks; ++task) piece(task);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (int64_t task = 0; task < tasks; ++task) piece(task);
}

template void block_matmul<Exact<float>>(const MatmulShape&, const float*, const float*, float*, float, bool,
                                         const float*);
template void block_matmul<Exact<double>>(const MatmulShape&, const double*, const double*, double*, double, bool,
                                          const double*);
template void block_matmul<Bf16>(const MatmulShape&, const float*, const float*, float*, float, bool, const float*);
template void block_matmul<ScaledInt16>(const MatmulShape&, const float*, const float*, float*, float, bool,
                                        const float*);

}  // namespace bev::cpu
