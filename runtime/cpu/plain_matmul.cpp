// Matrix products by loops over blocks, in the element type: the reference for the libraries, the float64 body of the
// CPU, and its float body where the program is built without oneDNN. Blocks of C are shared out among threads; each
// element is summed over k in order, so the result does not depend on the number of threads.
#include <algorithm>

#include "runtime/cpu/admit.h"
#include "runtime/cpu/block_product.h"
#include "runtime/matmul.h"
#include "runtime/tally.h"

namespace bev {

namespace {

using cpu::Block;
using cpu::Operand;

template <class T>
struct Product {
  MatmulShape shape;
  const T *a, *b, *bias;
  T* c;
  T alpha;
  bool accumulate;

  void block(int64_t member, int64_t first_row, int64_t first_column) const {
    const MatmulShape& s = shape;
    const int64_t rows = std::min(Block<T>::rows, s.m - first_row);
    const int64_t columns = std::min(Block<T>::columns, s.n - first_column);
    const int64_t a_row = s.transpose_a ? 1 : s.lda, a_column = s.transpose_a ? s.lda : 1;
    const int64_t b_row = s.transpose_b ? 1 : s.ldb, b_column = s.transpose_b ? s.ldb : 1;
    Block<T> total;
    total.clear(rows);
    cpu::add_product(rows, columns, s.k, Operand<T>{a + member * s.stride_a + first_row * a_row, a_row, a_column},
                     Operand<T>{b + member * s.stride_b + first_column * b_column, b_row, b_column}, total.sum[0],
                     Block<T>::columns);
    for (int64_t i = 0; i < rows; ++i) {
      T* out = c + member * s.stride_c + (first_row + i) * s.ldc + first_column;
      for (int64_t j = 0; j < columns; ++j) {
        T value = alpha * total.sum[i][j];
        if (accumulate) value += out[j];
        if (bias) value += bias[first_column + j];
        out[j] = value;
      }
    }
  }

  void run() const {
    const int64_t down = (shape.m + Block<T>::rows - 1) / Block<T>::rows;
    const int64_t across = (shape.n + Block<T>::columns - 1) / Block<T>::columns;
    const int64_t blocks = shape.batch * down * across;
#pragma omp parallel for schedule(static) if (blocks > 1 && flop_of(shape) > 2e5)
    for (int64_t i = 0; i < blocks; ++i) {
      block(i / (down * across), i / across % down * Block<T>::rows, i % across * Block<T>::columns);
    }
  }
};

class PlainMatmul : public MatmulEngine {
 public:
  void run(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
           double alpha, double beta, const void* bias) override {
    cpu::require_valid(shape, beta);
    if (tallied(stream, shape)) return;
    cpu::require_host(stream, "a product");
    visit_float(type, [&]<class T>(T) {
      Product<T>{.shape = shape,
                 .a = static_cast<const T*>(a),
                 .b = static_cast<const T*>(b),
                 .bias = static_cast<const T*>(bias),
                 .c = static_cast<T*>(c),
                 .alpha = static_cast<T>(alpha),
                 .accumulate = beta != 0}
          .run();
    });
  }
};

}  // namespace

std::unique_ptr<MatmulEngine> make_plain_matmul() { return std::make_unique<PlainMatmul>(); }

}  // namespace bev
