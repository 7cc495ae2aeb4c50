// Batches of products by the loops of block_product.h, shared out among threads. Bits do not depend on their number.
#pragma once

#include "runtime/cpu/factors.h"
#include "runtime/matmul.h"

namespace bev::cpu {

/// C = alpha A B (+ C, if `accumulate`) (+ bias) for a valid shape. Factor (factors.h) is Exact<float>, Exact<double>
/// or Bf16, T its numbers' type. Small products stay in the calling thread: waking a team costs about as much as 1
/// MFLOP.
template <class Factor, class T>
void block_matmul(const MatmulShape& shape, const T* a, const T* b, T* c, T alpha, bool accumulate, const T* bias);

}  // namespace bev::cpu
