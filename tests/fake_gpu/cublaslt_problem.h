// A product as cuBLASLt's descriptors say it, read back from the real library's descriptors and checked against what
// the documentation demands of them.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <string>

namespace bev::fake_gpu {

struct LtMatrix {
  cudaDataType_t type = CUDA_R_32F;
  cublasLtOrder_t order = CUBLASLT_ORDER_COL;
  int64_t rows = 0, cols = 0, ld = 0, batch = 1, stride = 0;

  int64_t element_bytes() const { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }
  int64_t row_step() const { return order == CUBLASLT_ORDER_COL ? 1 : ld; }
  int64_t col_step() const { return order == CUBLASLT_ORDER_COL ? ld : 1; }
  int64_t elements() const { return (rows - 1) * row_step() + (cols - 1) * col_step() + 1; }  // of one of the batch
  size_t bytes() const { return static_cast<size_t>(((batch - 1) * stride + elements()) * element_bytes()); }
  bool operator==(const LtMatrix&) const = default;
};

struct LtProblem {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t scale = CUDA_R_32F;
  bool transpose_a = false, transpose_b = false;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  LtMatrix a, b, c, d;

  int64_t m() const { return d.rows; }
  int64_t n() const { return d.cols; }
  int64_t k() const { return transpose_a ? a.rows : a.cols; }
  std::string text() const;
  /// What an algorithm is made for: types, forms and epilogue, not sizes.
  uint64_t kind() const;
  /// Everything but pointers.
  uint64_t digest() const;
};

/// SUCCESS; INVALID_VALUE where the parts contradict each other; NOT_SUPPORTED where the library has no such product.
/// Descriptors that are destroyed or were never made are misuse.
cublasStatus_t read_problem(const char* call, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                            cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                            LtProblem& out);
/// Ends the process unless it is a descriptor that lives.
void require_descriptor(const char* call, const char* what, const void* descriptor);

}  // namespace bev::fake_gpu
