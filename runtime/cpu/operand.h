// A factor of a product as it lies in memory.
#pragma once

#include <cstdint>

#include "runtime/matmul.h"

namespace bev::cpu {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// A matrix by the distances, in elements, between neighbours in a column and in a row, one of which is 1: transposing
/// is exchanging them.
template <class T>
struct Operand {
  const T* data;
  int64_t row, column;

  const T* at(int64_t i, int64_t j) const { return data + i * row + j * column; }
  Operand from(int64_t i, int64_t j) const { return {at(i, j), row, column}; }
};

/// A and B of a product's shape, the first of a batch.
template <class T>
Operand<T> left_operand(const MatmulShape& s, const T* a) {
  return {a, s.transpose_a ? 1 : s.lda, s.transpose_a ? s.lda : 1};
}
template <class T>
Operand<T> right_operand(const MatmulShape& s, const T* b) {
  return {b, s.transpose_b ? 1 : s.ldb, s.transpose_b ? s.ldb : 1};
}

}  // namespace bev::cpu
