// The engines of a program that was built without oneDNN: the plain loops compute floats too. Left out of the build
// where there is oneDNN.
#include "runtime/convolution.h"
#include "runtime/matmul.h"

namespace bev {

std::unique_ptr<MatmulEngine> make_cpu_matmul() { return make_plain_matmul(); }
std::unique_ptr<ConvolutionEngine> make_cpu_convolution() { return make_plain_convolution(); }

}  // namespace bev
