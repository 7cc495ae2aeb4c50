// A tensor: shape, element type and a share in a block of memory. Always dense and row-major; no arithmetic. Copying a
// Tensor copies the handle, not the elements; the memory goes back to its arena with the last handle.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "runtime/dtype.h"
#include "runtime/shape.h"

namespace bev {

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, uint8_t>) return DType::u8;
  if constexpr (std::is_same_v<T, uint16_t>) return DType::bf16;  // stored bits
  if constexpr (std::is_same_v<T, int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, int64_t>) return DType::i64;
}

class Tensor {
 public:
  Tensor() = default;
  Tensor(std::shared_ptr<void> memory, const Shape& shape, DType dtype)
      : memory_(std::move(memory)), data_(memory_.get()), shape_(shape), dtype_(dtype) {}

  bool defined() const { return data_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t size() const { return shape_.elements(); }
  DType dtype() const { return dtype_; }
  size_t bytes() const { return static_cast<size_t>(size()) * size_of(dtype_); }
  void* raw() const { return data_; }

  /// The elements as T; throws if that is not their type.
  template <class T>
  T* data() const {
    if (dtype_of<T>() != dtype_)
      fail(ErrorKind::runtime, "a tensor of {} was read as {}", name_of(dtype_), name_of(dtype_of<T>()));
    return static_cast<T*>(data_);
  }

  /// The same elements in another shape of as many elements.
  Tensor view(const Shape& shape) const {
    if (shape.elements() != size()) fail(ErrorKind::runtime, "cannot view {} as {}", shape_.text(), shape.text());
    Tensor out = *this;
    out.shape_ = shape;
    return out;
  }

  /// Elements `first` .. `first + shape.elements() - 1` as a tensor of their own; shares the memory.
  Tensor part(int64_t first, const Shape& shape) const {
    if (first < 0 || first + shape.elements() > size()) {
      fail(ErrorKind::runtime, "elements {} and {} more are not all in {}", first, shape.elements(), shape_.text());
    }
    Tensor out = *this;
    out.data_ = static_cast<std::byte*>(data_) + static_cast<size_t>(first) * size_of(dtype_);
    out.shape_ = shape;
    return out;
  }

 private:
  std::shared_ptr<void> memory_;
  void* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace bev
