// The sizes of a tensor: up to six dimensions, row-major, no heap.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "runtime/error.h"

namespace bev {

class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    for (const int64_t size : sizes) append(size);
  }

  void append(int64_t size) {
    if (rank_ == max_rank) fail(ErrorKind::runtime, "a shape has at most {} dimensions", max_rank);
    sizes_[static_cast<size_t>(rank_++)] = size;
  }
  int rank() const { return rank_; }
  /// Size of dimension `i`; negative counts from the back.
  int64_t operator[](int i) const { return sizes_[static_cast<size_t>(i < 0 ? i + rank_ : i)]; }
  int64_t elements() const {
    int64_t product = 1;
    for (int i = 0; i < rank_; ++i) product *= sizes_[static_cast<size_t>(i)];
    return product;
  }
  bool operator==(const Shape&) const = default;
  const int64_t* begin() const { return sizes_.data(); }
  const int64_t* end() const { return sizes_.data() + rank_; }

  /// As "[8, 6, 1024]", for messages.
  std::string text() const {
    std::string out = "[";
    for (int i = 0; i < rank_; ++i) out += (i ? ", " : "") + std::to_string((*this)[i]);
    return out + "]";
  }

 private:
  std::array<int64_t, max_rank> sizes_ = {};  // unused ones stay 0, so that equality is memberwise
  int rank_ = 0;
};

}  // namespace bev
