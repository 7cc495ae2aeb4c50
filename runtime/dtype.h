// Element types of tensors and files, and the visit that turns a run-time type into a template argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "runtime/error.h"

namespace bev {

enum class DType : uint8_t { f32, f64, bf16, u8, i32, i64 };

constexpr size_t size_of(DType type) {
  switch (type) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

/// The type's name in safetensors headers: "F32", "F64", "BF16", "U8", "I32", "I64".
constexpr std::string_view name_of(DType type) {
  switch (type) {
    case DType::f64:
      return "F64";
    case DType::i64:
      return "I64";
    case DType::f32:
      return "F32";
    case DType::i32:
      return "I32";
    case DType::bf16:
      return "BF16";
    case DType::u8:
      return "U8";
  }
  return "?";
}

/// The type of that name, or nothing.
constexpr std::optional<DType> dtype_named(std::string_view name) {
  for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::u8, DType::i32, DType::i64}) {
    if (name_of(type) == name) return type;
  }
  return std::nullopt;
}

/// Calls `body(T{})` with T = float or double: the two types in which the model computes. Throws for any other.
template <class Body>
decltype(auto) visit_float(DType type, Body&& body) {
  if (type == DType::f64) return body(double{});
  if (type != DType::f32)
    fail(ErrorKind::runtime, "computing in {} is not supported: expected F32 or F64", name_of(type));
  return body(float{});
}

}  // namespace bev
