// Engines whose calls are told to the stream's observer, as kernel launches are (kernels/stream.h): put around a
// context's engines while it is profiled, so that engines themselves need not know of it.
#pragma once

#include <memory>

#include "runtime/convolution.h"
#include "runtime/matmul.h"

namespace bev {

/// Engines that do what `inner` does. Not thread-safe, as it is not.
std::unique_ptr<MatmulEngine> observed(std::shared_ptr<MatmulEngine> inner);
std::unique_ptr<ConvolutionEngine> observed(std::shared_ptr<ConvolutionEngine> inner);

}  // namespace bev
