// The gradient check: the tape's gradient of a scalar, in float64, against central differences. Under it everything
// that is trained stands.
#pragma once

#include "tests/support/evaluation.h"

namespace bev::test {

/// Runs the forward op on a fixed weighted sum of its output and compares every gradient. The error of an element is
/// |ours - difference| / max(|difference|, 1e-3 of the tensor's largest, 1e-6).
GradientResult check_gradients(const GradientCase& test);

}  // namespace bev::test
