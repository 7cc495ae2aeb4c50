// Products of small blocks by one thread: what the plain loops of matmul and convolution are made of. Registers hold
// four rows by up to two 64-byte vectors of sums, in the compiler's own vector type, so the same source serves every
// instruction set. Sums run over the depth in order: the result depends on the sizes alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace bev::cpu {

/// A matrix by the distances, in elements, between neighbours: transposing is exchanging them.
template <class T>
struct Operand {
  const T* data;
  int64_t row, column;
};

/// Sums of one block of a result, on the stack: `rows` by `columns`, row-major.
template <class T>
struct Block {
  static constexpr int64_t lanes = 64 / sizeof(T), strip = 2 * lanes, rows = 64, columns = 2 * strip, depth = 128;
  alignas(64) T sum[rows][columns];
  void clear(int64_t used_rows) { std::fill_n(sum[0], used_rows * columns, T{0}); }
};

namespace detail {

template <class T, int Rows, int Vectors>
void multiply_rows(int64_t depth, Operand<T> a, const T* packed, T* sum, int64_t sum_row) {
  using Vector [[gnu::vector_size(64)]] = T;
  constexpr int64_t lanes = Block<T>::lanes, strip = Block<T>::strip;
  Vector total[Rows][Vectors];
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Vectors; ++v) std::memcpy(&total[i][v], sum + i * sum_row + v * lanes, sizeof(Vector));
  }
  for (int64_t p = 0; p < depth; ++p) {
    Vector b[Vectors];
    for (int v = 0; v < Vectors; ++v) std::memcpy(&b[v], packed + p * strip + v * lanes, sizeof(Vector));
    for (int i = 0; i < Rows; ++i) {
      const T factor = a.data[i * a.row + p * a.column];
      for (int v = 0; v < Vectors; ++v) total[i][v] += factor * b[v];
    }
  }
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Vectors; ++v) std::memcpy(sum + i * sum_row + v * lanes, &total[i][v], sizeof(Vector));
  }
}

template <class T, int Vectors>
void multiply_strip(int64_t rows, int64_t depth, Operand<T> a, const T* packed, T* sum, int64_t sum_row) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    multiply_rows<T, 4, Vectors>(depth, {a.data + i * a.row, a.row, a.column}, packed, sum + i * sum_row, sum_row);
  }
  for (; i < rows; ++i) {
    multiply_rows<T, 1, Vectors>(depth, {a.data + i * a.row, a.row, a.column}, packed, sum + i * sum_row, sum_row);
  }
}

/// `count` columns of B from `first` on as packed[depth][strip]; columns that there are not become zero.
template <class T>
void pack_strip(int64_t depth, Operand<T> b, int64_t count, T* packed) {
  constexpr int64_t strip = Block<T>::strip;
  if (count < strip) std::fill_n(packed, depth * strip, T{0});
  if (b.column == 1) {
    for (int64_t p = 0; p < depth; ++p) std::copy_n(b.data + p * b.row, count, packed + p * strip);
    return;
  }
  for (int64_t j = 0; j < count; ++j) {
    for (int64_t p = 0; p < depth; ++p) packed[p * strip + j] = b.data[p * b.row + j * b.column];
  }
}

}  // namespace detail

/// sum[rows, columns] += A[rows, depth] B[depth, columns], with `columns` at most Block<T>::columns. Rows of `sum` are
/// `sum_row` elements apart and have room for Block<T>::columns elements; those behind `columns` are undefined after.
template <class T>
void add_product(int64_t rows, int64_t columns, int64_t depth, Operand<T> a, Operand<T> b, T* sum, int64_t sum_row) {
  using B = Block<T>;
  alignas(64) T packed[B::depth * B::strip];
  for (int64_t p = 0; p < depth; p += B::depth) {
    const int64_t deep = std::min(B::depth, depth - p);
    for (int64_t j = 0; j < columns; j += B::strip) {
      const int64_t count = std::min(B::strip, columns - j);
      detail::pack_strip(deep, {b.data + p * b.row + j * b.column, b.row, b.column}, count, packed);
      const Operand<T> part{a.data + p * a.column, a.row, a.column};
      if (count > B::lanes) {
        detail::multiply_strip<T, 2>(rows, deep, part, packed, sum + j, sum_row);
      } else {
        detail::multiply_strip<T, 1>(rows, deep, part, packed, sum + j, sum_row);
      }
    }
  }
}

}  // namespace bev::cpu
