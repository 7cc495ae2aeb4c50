// The public door of the CPU's products and convolutions: what a call may ask for is checked here, once, with messages
// that name the shape; the bodies behind it compute. A call on a dry stream ends here.
#pragma once

#include <string>

#include "kernels/stream.h"
#include "runtime/convolution.h"
#include "runtime/dtype.h"
#include "runtime/matmul.h"

namespace bev::cpu {

/// As "[8 x 64] x [32 x 64]^T, batch 4", for messages.
std::string text(const MatmulShape& shape);
/// As "[2, 7, 7, 16] with 32 filters 3 x 3, stride 2, padding 1".
std::string text(const ConvolutionShape& shape);

/// Throws Error on a CUDA stream. `what` is a literal: "a product".
void require_host(const Stream& stream, const char* what);

/// Whether a product is to be computed here: false on a dry stream, whose tally it is added to. Throws Error as
/// require_valid() and require_host() do.
bool admit(const Stream& stream, const MatmulShape& shape, double beta);

/// Throws Error if sizes are negative, rows overlap, members of the batch overlap in C, or `beta` is neither 0 nor 1.
void require_valid(const MatmulShape& shape, double beta);
/// Throws Error if a size or the stride is not positive, padding is negative, no output is left, or `beta` is neither 0
/// nor 1.
void require_valid(const ConvolutionShape& shape, double beta);

}  // namespace bev::cpu
