// NumPy arrays inside pickles: the few constructors that NumPy 1 and 2 write for them, understood and not called.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/file/pickle.h"
#include "runtime/shape.h"

namespace bev::motdp {

/// The names that a pickle of plain values and NumPy arrays or scalars may contain.
std::span<const std::string_view> numpy_globals();

/// A small array, whatever its element type was.
struct NumpyArray {
  Shape shape;
  std::vector<double> values;  // row-major
};

/// Of float64, float32, int64, int32, uint8 or bool, little-endian, in either order. `where` starts the message of
/// every error. Throws Error(ErrorKind::data) if the value is something else.
NumpyArray read_numpy(const PickleValue& value, const std::string& where);

}  // namespace bev::motdp
