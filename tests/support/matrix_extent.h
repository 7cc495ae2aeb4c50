// How much memory a batch of stored matrices spans.
#pragma once

#include <cstdint>

namespace bev::test {

/// Elements from the first to the last: rows `distance` apart, members `stride` apart.
inline int64_t matrix_extent(int64_t rows, int64_t columns, int64_t distance, int64_t batch, int64_t stride) {
  return rows == 0 || columns == 0 || batch == 0 ? 0 : (batch - 1) * stride + (rows - 1) * distance + columns;
}

}  // namespace bev::test
