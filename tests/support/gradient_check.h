// The gradient check: the tape's gradient of a scalar, in float64, against central differences. Under it everything
// that is trained stands.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/context.h"

namespace bev::test {

struct GradientCase {
  std::string name;
  std::vector<Shape> inputs;  // filled with numbers in about [-1, 1]
  std::function<void(ParameterStore&)> declare = [](auto&) {
  };  // parameters, filled likewise (around 1 where they end in "weight" and are 1-D)
  std::function<Variable(Context&, ParameterStore&, const std::vector<Variable>&)> forward;
  double step = 1e-3;     // smaller where the function has kinks (ReLU, max-pooling)
  int64_t elements = 64;  // of each tensor, spread over it, that are checked at most; fewer where a layer is slow
};

struct GradientResult {
  double worst_error = 0;   // of all elements of all gradients: |ours - difference| / max(|difference|, 1e-3 of the
                            // tensor's largest, 1e-6)
  std::string worst_place;  // "input 0 [12]" or "weight [3]"
};

/// Runs the forward op on a fixed weighted sum of its output and compares every gradient.
GradientResult check_gradients(const GradientCase& test);

/// The largest difference between two cases in their outputs and all their gradients: two forms of one function, with
/// inputs of equal sizes and parameters of equal names. Relative to the largest element of the tensor, or 1e-3 of the
/// largest of all gradients where the tensor's are smaller. `worst_place` names the element.
GradientResult compare_cases(const GradientCase& a, const GradientCase& b);

/// Storage and values (as the cases') for what a store declares; all of it is trained but buffers. float64.
void allocate_filled(ParameterStore& store, Context& context);

}  // namespace bev::test
