// Finds numbers that are not finite where data enters the program, before one NaN costs a training run.
#pragma once

#include <cstdint>

#include "runtime/dtype.h"

namespace bev {

/// The index of the first NaN or infinity among `elements` numbers at `data`, or -1. Types without such always give -1.
/// Reads at memory speed while all is well.
int64_t first_not_finite(DType type, const void* data, int64_t elements);

}  // namespace bev
