// Where a step's loss goes: micro-batches add up, replicas' sums are reduced, and the decision about the step reads the
// mean. And where backward begins: the gradient of a micro-batch's loss is its share of that mean. All one element.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/annotate.h"
#include "kernels/step_state.h"

namespace bev {

/// sum += loss * gradient_scale, which a step's first micro-batch begins anew. The first micro-batch of this replica
/// whose loss is not finite is remembered, to name its samples.
template <class T>
struct CollectLoss {
  using Element = T;
  const T* loss;  // of this micro-batch, a mean
  const StepState* step;
  T* sum;
  UpdateState* update;

  BEV_HD void operator()(int64_t) const {
    const T part = *loss * static_cast<T>(step->gradient_scale);
    const int64_t micro = step->micro;
    *sum = micro == 0 ? part : *sum + part;
    if (micro == 0) update->bad_micro = -1;
    if (!std::isfinite(part) && update->bad_micro < 0) update->bad_micro = micro;
  }
  double bytes(int64_t) const { return 2.0 * sizeof(T); }
};

/// The sum, which replicas have reduced meanwhile, is the step's loss.
template <class T>
struct PublishLoss {
  using Element = T;
  const T* sum;
  UpdateState* update;

  BEV_HD void operator()(int64_t) const { update->loss = static_cast<double>(*sum); }
  double bytes(int64_t) const { return sizeof(T) + sizeof(double); }
};

/// The gradient of a micro-batch's loss.
template <class T>
struct SeedGradient {
  using Element = T;
  const StepState* step;
  T* d_loss;

  BEV_HD void operator()(int64_t) const { *d_loss = static_cast<T>(step->gradient_scale); }
  double bytes(int64_t) const { return sizeof(T) + sizeof(double); }
};

}  // namespace bev
