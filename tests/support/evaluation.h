// A gradient case run once, on any device and in any type: its output and all its gradients as numbers, and how far two
// such runs are apart. With it two forms of one function are compared, and two devices.
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
  double worst_error = 0;
  std::string worst_place;  // "input 0 [12]" or "weight [3]"
};

/// Numbers of both signs without symmetries, by tensor and element: what cases are filled with.
double filling(int64_t tensor, int64_t element);
std::vector<double> filling(int64_t tensor, int64_t size, double center, double width);

/// The tensor of the fixed weights of the sum that is differentiated.
inline constexpr int64_t weights_of_output = 50;

/// Storage and values (as the cases') for what a store declares, in the context's type; all of it is trained but
/// buffers.
void allocate_filled(ParameterStore& store, Context& context);

struct NamedNumbers {
  std::string name;
  std::vector<double> numbers;
  bool operator==(const NamedNumbers&) const = default;
};
/// The output of the case's forward op, and the gradients of all inputs and parameters of a fixed weighted sum of it.
std::vector<NamedNumbers> evaluate(const GradientCase& test, Context& context);

/// The largest difference of any element, relative to the largest element of its tensor in `theirs`, or to 1e-3 of the
/// largest of all gradients where the tensor's are smaller. `worst_place` names the element.
GradientResult largest_difference(const std::vector<NamedNumbers>& ours, const std::vector<NamedNumbers>& theirs);

/// The largest distance of any tensor: the norm of the difference, relative to the tensor's norm in `theirs`, or to
/// 1e-3 of the largest norm of all gradients. For coarse arithmetic, in which a ReLU may flip here and there.
GradientResult largest_distance(const std::vector<NamedNumbers>& ours, const std::vector<NamedNumbers>& theirs);

/// largest_difference() between two cases in float64 on the CPU: two forms of one function, with inputs of equal sizes
/// and parameters of equal names.
GradientResult compare_cases(const GradientCase& a, const GradientCase& b);

}  // namespace bev::test
