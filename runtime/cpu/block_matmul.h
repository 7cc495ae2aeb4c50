// Batches of products by the loops of block_product.h, shared out among threads. Bits do not depend on their number.
#pragma once

#include "runtime/matmul.h"

namespace bev::cpu {

/// C = alpha A B (+ C, if `accumulate`) (+ bias) for a valid shape. T is float or double. Small products stay in the
/// calling thread: waking a team costs about as much as 1 MFLOP.
template <class T>
void block_matmul(const MatmulShape& shape, const T* a, const T* b, T* c, T alpha, bool accumulate, const T* bias);

}  // namespace bev::cpu
