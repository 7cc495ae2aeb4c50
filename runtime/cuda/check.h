// Every call of a CUDA library goes through one of these: a failure becomes one Error that says what was being done and
// the library's own words.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include <string>

#include "kernels/stream.h"
#include "runtime/error.h"

namespace bev::cuda {

inline void check(cudaError_t status, const std::string& what) {
  if (status == cudaSuccess) return;
  fail(ErrorKind::runtime, "{}: {} (CUDA error {})", what, cudaGetErrorString(status), static_cast<int>(status));
}

inline void check(cublasStatus_t status, const std::string& what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(ErrorKind::runtime, "{}: {}", what, cublasLtGetStatusString(status));
}

inline void check(cudnnStatus_t status, const std::string& what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char details[512] = "";
  cudnnGetLastErrorString(details, sizeof details);
  fail(ErrorKind::runtime, "{}: {} {}", what, cudnnGetErrorString(status), details);
}

inline cudaStream_t handle_of(const Stream& stream) { return static_cast<cudaStream_t>(stream.handle); }

}  // namespace bev::cuda
