// Brings the state's values, which are metres, speeds and flags side by side, to zero mean and unit deviation over the
// training set (`data.normalize_state`). Otherwise a target 40 m away drowns the raster's features where the two are
// joined. Off, states pass as they are: the reference's behaviour.
#pragma once

#include "model/policy_config.h"
#include "runtime/context.h"

namespace bev {

class StateNormalizer {
 public:
  /// Declares the statistics as tables. Throws Error(usage) if they are wanted and not as many as the state has values.
  StateNormalizer(ParameterStore& store, const PolicyConfig& config);

  /// states [B, To, D] as the model is to see them.
  Tensor operator()(Context& context, const Tensor& states) const;

 private:
  Parameter *mean_ = nullptr, *inverse_ = nullptr;  // [D]; null where off
};

}  // namespace bev
