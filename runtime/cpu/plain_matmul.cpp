// Matrix products by loops over blocks, in the element type: the reference for the libraries, the float64 body of the
// CPU, and its float body where the program is built without oneDNN. Each element is summed over k in order, so the
// result does not depend on the number of threads.
#include "runtime/cpu/admit.h"
#include "runtime/cpu/block_matmul.h"
#include "runtime/matmul.h"

namespace bev {

namespace {

class PlainMatmul : public MatmulEngine {
 public:
  void run(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
           double alpha, double beta, const void* bias) override {
    if (!cpu::admit(stream, shape, beta)) return;
    visit_float(type, [&]<class T>(T) {
      cpu::block_matmul<cpu::Exact<T>>(shape, static_cast<const T*>(a), static_cast<const T*>(b), static_cast<T*>(c),
                                       static_cast<T>(alpha), beta != 0, static_cast<const T*>(bias));
    });
  }
};

}  // namespace

std::unique_ptr<MatmulEngine> make_plain_matmul() { return std::make_unique<PlainMatmul>(); }

}  // namespace bev
