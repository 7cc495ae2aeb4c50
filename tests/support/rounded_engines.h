// The CPU's libraries with inputs rounded as tensor cores round them: shows, without a GPU, how far TF32 or bf16
// products take a result from the exact one. Sums are in float, as there.
#pragma once

#include <memory>

#include "runtime/convolution.h"
#include "runtime/matmul.h"

namespace bev::test {

/// float only; Precision::fp32 rounds nothing.
std::unique_ptr<MatmulEngine> make_rounded_matmul(Precision precision);
/// bf16 is for products: convolutions round to TF32 then, as on a GPU.
std::unique_ptr<ConvolutionEngine> make_rounded_convolution(Precision precision);

}  // namespace bev::test
