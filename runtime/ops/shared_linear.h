// One Linear layer that a step uses several times, as shared decoder layers do: each use is a product of few rows, but
// the gradients of weight and bias are computed once, over the rows of all uses, when the backward pass has come to the
// first use. One product a use would read and write the whole gradient each time. For that the inputs of all uses lie
// one behind another, and so do their outputs and the gradients of those.
#pragma once

#include <memory>
#include <vector>

#include "runtime/context.h"

namespace bev {

class SharedLinear {
 public:
  /// weight [out, in], bias [out] or null; `uses` calls with `rows` rows each will follow, no more and no fewer.
  SharedLinear(Context& context, Parameter& weight, Parameter* bias, int64_t uses, int64_t rows);

  /// Memory [rows, in] for the input of the next use, which the op that computes it must write to. Undefined where
  /// nothing is recorded: any will do.
  Tensor input();
  /// x [..., in] in the memory that input() gave; returns [..., out].
  Variable operator()(Context& context, const Variable& x);

 private:
  Parameter& weight_;
  Parameter* bias_;
  int64_t rows_, next_ = 0;
  Tensor inputs_;  // [uses * rows, in]
  Variable outputs_;
  std::vector<Variable> parts_;  // of outputs_, by use
};

}  // namespace bev
