#include "data/motdp/numpy_array.h"

#include <algorithm>
#include <cstring>

namespace bev::motdp {

namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view reconstruct[] = {"numpy.core.multiarray._reconstruct",
                                            "numpy._core.multiarray._reconstruct"};
constexpr std::string_view from_buffer[] = {"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"};
constexpr std::string_view globals[] = {reconstruct[0],
                                        reconstruct[1],
                                        from_buffer[0],
                                        from_buffer[1],
                                        "numpy.core.multiarray.scalar",
                                        "numpy._core.multiarray.scalar",
                                        "numpy.ndarray",
                                        "numpy.dtype"};

/// What an array is made of, from either constructor.
struct Parts {
  const PickleValue *bytes, *type, *shape;
  bool columns_first;  // Fortran's order
};

bool is_one_of(const PickleValue& value, std::span<const std::string_view> names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return value.is_call(name); });
}

Parts parts_of(const PickleValue& value, const std::string& where) {
  if (is_one_of(value, reconstruct) && value.state && value.state->kind == Kind::tuple &&
      value.state->items.size() == 5) {  // (version, shape, type, Fortran's order, bytes)
    const auto& state = value.state->items;
    return {state[4], state[2], state[1], state[3]->integer != 0};
  }
  if (is_one_of(value, from_buffer) && value.argument->items.size() == 4) {  // (bytes, type, shape, order)
    const auto& arguments = value.argument->items;
    return {arguments[0], arguments[1], arguments[2], arguments[3]->text == "F"};
  }
  fail(ErrorKind::data, "{}: is {}{}, expected a NumPy array", where, name_of(value.kind),
       value.kind == Kind::call ? fmt::format(" of {}", value.callee->text) : "");
}

/// "f8" and the like; empty if it is none of the known ones.
std::string_view element_type(const PickleValue& type) {
  if (!type.is_call("numpy.dtype") || type.argument->items.empty()) return {};
  const std::string_view name = type.argument->items[0]->text;
  if (std::string_view("f8 f4 i8 i4 u1 b1").find(name) == std::string_view::npos || name.size() != 2) return {};
  const PickleValue* const state = type.state;  // (version, byte order, ...)
  if (state && (state->kind != Kind::tuple || state->items.size() < 2 || state->items[1]->text == ">")) return {};
  return name;
}

template <class T>
void convert(std::string_view bytes, std::vector<double>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = static_cast<double>(value);
  }
}

/// Row-major from column-major.
void transpose(NumpyArray& array) {
  const std::vector<double> from = array.values;
  const Shape& shape = array.shape;
  for (size_t i = 0; i < from.size(); ++i) {
    int64_t rest = static_cast<int64_t>(i), place = 0, step = 1;
    std::array<int64_t, Shape::max_rank> at = {};
    for (int d = shape.rank(); d-- > 0;) {
      at[static_cast<size_t>(d)] = rest % shape[d];
      rest /= shape[d];
    }
    for (int d = 0; d < shape.rank(); ++d) {
      place += at[static_cast<size_t>(d)] * step;
      step *= shape[d];
    }
    array.values[i] = from[static_cast<size_t>(place)];
  }
}

}  // namespace

std::span<const std::string_view> numpy_globals() { return globals; }

NumpyArray read_numpy(const PickleValue& value, const std::string& where) {
  const Parts parts = parts_of(value, where);
  const std::string_view type = element_type(*parts.type);
  if (type.empty()) {
    const bool named = parts.type->is_call("numpy.dtype") && !parts.type->argument->items.empty();
    fail(ErrorKind::data, "{}: an array of type {}; expected f8, f4, i8, i4, u1 or b1, little-endian", where,
         named ? parts.type->argument->items[0]->text : name_of(parts.type->kind));
  }
  NumpyArray array;
  const uint64_t width = static_cast<uint64_t>(type[1] - '0');
  uint64_t elements = 1;
  if (parts.shape->kind != Kind::tuple || parts.shape->items.size() > Shape::max_rank) {
    fail(ErrorKind::data, "{}: an array of more than {} dimensions", where, Shape::max_rank);
  }
  for (const PickleValue* size : parts.shape->items) {
    constexpr int64_t most = 1 << 24;  // far above any state; so that no product overflows
    if (size->kind != Kind::integer || size->integer < 0 || size->integer > most || elements > most) {
      fail(ErrorKind::data, "{}: the array's shape is too large or no shape", where);
    }
    array.shape.append(size->integer);
    elements *= static_cast<uint64_t>(size->integer);
  }
  if (parts.bytes->kind != Kind::bytes || parts.bytes->text.size() != elements * width) {
    fail(ErrorKind::data, "{}: an array {} of {} needs {} bytes, found {} of {}", where, array.shape.text(), type,
         elements * width, name_of(parts.bytes->kind), parts.bytes->text.size());
  }
  array.values.resize(elements);
  if (type == "f8") convert<double>(parts.bytes->text, array.values);
  if (type == "f4") convert<float>(parts.bytes->text, array.values);
  if (type == "i8") convert<int64_t>(parts.bytes->text, array.values);
  if (type == "i4") convert<int32_t>(parts.bytes->text, array.values);
  if (type == "u1" || type == "b1") convert<uint8_t>(parts.bytes->text, array.values);
  if (parts.columns_first && array.shape.rank() > 1) transpose(array);
  return array;
}

}  // namespace bev::motdp
