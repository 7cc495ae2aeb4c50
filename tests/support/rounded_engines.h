// The CPU's libraries with inputs rounded as tensor cores round them: shows, without a GPU, how far TF32 or bf16
// products take a result from the exact one. Sums are in float, as there.
#pragma once

#include <memory>

#include "runtime/convolution.h"
#include "runtime/matmul.h"

namespace bev::test {

/// What becomes of the bits that TF32 has no room for. No documentation says which: kernels may round a factor, or copy
/// it as it is to the tensor cores, which look at its upper 19 bits alone. Factors in bf16 are converted, to the
/// nearest.
enum class Tf32Factors : uint8_t { nearest, cut_off };

/// float only; Precision::fp32 rounds nothing.
std::unique_ptr<MatmulEngine> make_rounded_matmul(Precision precision, Tf32Factors tf32 = Tf32Factors::nearest);
/// bf16 is for products: convolutions round to TF32 then, as on a GPU.
std::unique_ptr<ConvolutionEngine> make_rounded_convolution(Precision precision,
                                                            Tf32Factors tf32 = Tf32Factors::nearest);

/// Factors with one bit less of the significand than float has: how much float's own rounding may matter, seen once more
/// than by float itself.
std::unique_ptr<MatmulEngine> make_shortened_matmul();
std::unique_ptr<ConvolutionEngine> make_shortened_convolution();

}  // namespace bev::test
