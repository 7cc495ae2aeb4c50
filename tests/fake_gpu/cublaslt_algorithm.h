// The pretended cuBLASLt's algorithms.
#pragma once

#include "tests/fake_gpu/cublaslt_problem.h"

namespace bev::fake_gpu {

enum class LtNumber : uint8_t {
  plain,    // runs always; rounds TF32 factors
  direct,   // 16-byte accesses; leaves TF32 factors to be truncated
  split,    // two halves of the sum, which meet in the workspace
  refused,  // as `direct`, but of some problems it is offered and does not run
  wide_a,   // 16-byte accesses of one matrix alone
  wide_b,
  wide_d,
};
constexpr uint64_t lt_numbers = 7;
struct LtAlgorithm {
  LtNumber number = LtNumber::plain;
  size_t workspace = 0;  // bytes

  // What it needs, in bytes, of the pointer and of the steps from line to line.
  size_t needs(bool of_it) const {
    return of_it || (number >= LtNumber::direct && number <= LtNumber::refused) ? 16 : 1;
  }
  size_t of_a() const { return needs(number == LtNumber::wide_a); }
  size_t of_b() const { return needs(number == LtNumber::wide_b); }
  size_t of_d() const { return needs(number == LtNumber::wide_d); }
  size_t of_bias() const { return needs(false); }
};

/// The device of a handle that lives, which must be current.
int check_handle(const char* call, cublasLtHandle_t handle);
/// Bytes that it works in.
size_t workspace_of(const LtProblem& problem, LtNumber number);
/// Whether the problem is one that the algorithm, offered or not, does.
bool runs(const LtProblem& problem, LtNumber number);
void write_algorithm(const LtProblem& problem, LtNumber number, cublasLtMatmulAlgo_t& out);
/// By any cuBLASLt of this kind, at any time; what else such a structure may hold is anybody's guess.
bool was_offered(const cublasLtMatmulAlgo_t& algorithm);
/// SUCCESS; INVALID_VALUE for what was not offered for such a problem; NOT_SUPPORTED for sizes that it does not do.
cublasStatus_t read_algorithm(const LtProblem& problem, const cublasLtMatmulAlgo_t& from, LtAlgorithm& out);

}  // namespace bev::fake_gpu
