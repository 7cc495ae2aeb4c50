// Stands in until the CPU library engineer lands runtime/cpu/plain_matmul.cpp and its siblings: delete this file then.
#include "runtime/convolution.h"
#include "runtime/matmul.h"
namespace bev {
struct P : MatmulEngine {
  void run(const Stream&, DType type, const MatmulShape& s, const void* a_, const void* b_, void* c_, double alpha, double beta, const void* bias_) override {
    visit_float(type, [&]<class T>(T) {
      const T *a = (const T*)a_, *b = (const T*)b_, *bias = (const T*)bias_; T* c = (T*)c_;
      for (int64_t q = 0; q < s.batch; ++q) for (int64_t i = 0; i < s.m; ++i) for (int64_t j = 0; j < s.n; ++j) {
        T sum = 0;
        for (int64_t k = 0; k < s.k; ++k) sum += a[q * s.stride_a + (s.transpose_a ? k * s.lda + i : i * s.lda + k)] * b[q * s.stride_b + (s.transpose_b ? j * s.ldb + k : k * s.ldb + j)];
        T& o = c[q * s.stride_c + i * s.ldc + j];
        o = T(alpha) * sum + (beta ? o : 0) + (bias ? bias[j] : 0);
      }
    });
  }
};
std::unique_ptr<MatmulEngine> make_plain_matmul() { return std::make_unique<P>(); }
std::unique_ptr<MatmulEngine> make_cpu_matmul() { return std::make_unique<P>(); }
std::unique_ptr<ConvolutionEngine> make_cpu_convolution() { return nullptr; }
}
