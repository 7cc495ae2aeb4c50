// Batch normalisation as an op, with the residual and the ReLU that follow it in the same pass (kernels/batch_norm.h).
#pragma once

#include "runtime/context.h"

namespace bev {

struct BatchNormParameters {
  Parameter *gamma, *beta;                     // [channels]
  Parameter *running_mean, *running_variance;  // [channels], buffers
};

struct BatchNormOptions {
  /// Statistics of this batch, which also move the running ones; otherwise the running ones are used.
  bool of_batch = true;
  /// Statistics over the images of all replicas, where the context knows of others.
  bool synchronised = false;
  bool relu = false;
  double momentum = 0.1, eps = 1e-5;
};

/// y = relu((x - mean) / sqrt(variance + eps) gamma + beta + residual), x [..., channels], statistics over all but the
/// channels; the residual, of x's shape but another variable, may be null. Saves x (with residual and relu y too).
/// Throws Error if the batch has one value a channel.
Variable batch_norm(Context& context, const Variable& x, const BatchNormParameters& parameters,
                    const BatchNormOptions& options, const Variable* residual = nullptr);

}  // namespace bev
