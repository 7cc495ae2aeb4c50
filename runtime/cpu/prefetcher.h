// Calls what is needed next into the second-level cache, a few lines at a time beside the work on what is there. All at
// once would not do: a core waits when some twenty lines are under way. (48 bf16 rows by a weight of 16 MiB, two cores:
// 205 GFLOP/s when a strip was called at once, 227 little by little, nothing else changed.)
#pragma once

#include <cstdint>

#include "runtime/cpu/operand.h"

namespace bev::cpu {

class Prefetcher {
 public:
  /// Nothing to call.
  Prefetcher() = default;
  /// `rows` rows of `row_bytes` that begin `distance` bytes apart, in `steps` steps.
  Prefetcher(const void* first, int64_t rows, int64_t row_bytes, int64_t distance, int64_t steps)
      : at_(static_cast<const char*>(first)),
        row_lines_((row_bytes + line - 1) / line),
        left_(row_lines_),
        rows_(rows) {
    jump_ = distance - row_lines_ * line;
    lines_a_step_ = steps == 0 ? 0 : (rows * row_lines_ + steps - 1) / steps;
  }

  void step() {
    for (int64_t i = 0; i < lines_a_step_ && rows_ > 0; ++i) {
      __builtin_prefetch(at_, 0, 2);
      at_ += line;
      if (--left_ == 0) at_ += jump_, left_ = row_lines_, --rows_;
    }
  }

 private:
  static constexpr int64_t line = 64;
  const char* at_ = nullptr;
  int64_t row_lines_ = 0, left_ = 0, rows_ = 0, jump_ = 0, lines_a_step_ = 0;
};

/// The first `rows` rows and `columns` columns of a matrix, in `steps` steps.
template <class T>
Prefetcher prefetch(Operand<T> in, int64_t rows, int64_t columns, int64_t steps) {
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  return in.column == 1 ? Prefetcher(in.data, rows, columns * size, in.row * size, steps)
                        : Prefetcher(in.data, columns, rows * size, in.column * size, steps);
}

}  // namespace bev::cpu
