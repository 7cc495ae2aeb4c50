// The pretended cuBLASLt's algorithms.
#pragma once

#include "tests/fake_gpu/cublaslt_problem.h"

namespace bev::fake_gpu {

enum class LtNumber : uint8_t {
  plain,    // runs always; rounds TF32 factors
  direct,   // 16-byte accesses; leaves TF32 factors to be truncated
  split,    // two halves of the sum, which meet in the workspace
  refused,  // as `direct`, but of some problems it is offered and does not run
};
struct LtAlgorithm {
  LtNumber number = LtNumber::plain;
  size_t alignment = 4, workspace = 0;  // bytes; of all matrices and the bias
};

/// The device of a handle that lives, which must be current.
int check_handle(const char* call, cublasLtHandle_t handle);
/// Bytes that it works in.
size_t workspace_of(const LtProblem& problem, LtNumber number);
/// Whether the problem is one that the algorithm, offered or not, does.
bool runs(const LtProblem& problem, LtNumber number);
void write_algorithm(const LtProblem& problem, LtNumber number, cublasLtMatmulAlgo_t& out);
/// SUCCESS; INVALID_VALUE for what was not offered for such a problem; NOT_SUPPORTED for sizes that it does not do.
cublasStatus_t read_algorithm(const LtProblem& problem, const cublasLtMatmulAlgo_t& from, LtAlgorithm& out);

}  // namespace bev::fake_gpu
