// cuBLASLt's handles, and which algorithms it has. Offered are several with unlike workspaces, needs of alignment and
// arithmetic; of some problems the library's favourite is one that will not run, or one whose state says that it
// failed.
#include <cublasLt.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "tests/fake_gpu/cublaslt_algorithm.h"
#include "tests/fake_gpu/real_library.h"

namespace bev::fake_gpu {

namespace {

constexpr uint64_t magic = 0x70726574656e6473;

struct Handles {
  std::mutex mutex;
  std::map<cublasLtHandle_t, int> device;  // on which each was made
};
Handles& handles() {
  static auto* const out = new Handles;
  return *out;
}

/// An algorithm as the user holds it.
struct Written {
  uint64_t magic, kind, number;
};

uint32_t preferred_alignment(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t name) {
  uint32_t out = 0;
  size_t written = 0;
  real(&cublasLtMatmulPreferenceGetAttribute, "cublasLtMatmulPreferenceGetAttribute")(preference, name, &out,
                                                                                      sizeof out, &written);
  if (out == 0 || (out & (out - 1)) != 0) misuse("cublasLtMatmulPreference: an alignment that is no power of two");
  return out;
}

/// Whether every line of a matrix starts at a multiple of `bytes` if the first does.
bool lines_are_aligned(const LtMatrix& x, size_t bytes) {
  const auto by = static_cast<int64_t>(bytes);
  return x.ld * x.element_bytes() % by == 0 && (x.batch == 1 || x.stride * x.element_bytes() % by == 0);
}
bool does_sizes(const LtProblem& p, const LtAlgorithm& algorithm) {
  return lines_are_aligned(p.a, algorithm.of_a()) && lines_are_aligned(p.b, algorithm.of_b()) &&
         lines_are_aligned(p.c, algorithm.of_d()) && lines_are_aligned(p.d, algorithm.of_d()) &&
         (algorithm.number != LtNumber::split || p.k() >= 2);
}

}  // namespace

int check_handle(const char* call, cublasLtHandle_t handle) {
  const std::lock_guard lock(handles().mutex);
  const auto found = handles().device.find(handle);
  if (found == handles().device.end()) misuse(std::string(call) + ": a handle that was never made or is destroyed");
  int current = -1;
  if (cudaGetDevice(&current) != cudaSuccess || current != found->second) {
    misuse(std::string(call) + ": a handle of device " + std::to_string(found->second) + " is used while device " +
           std::to_string(current) + " is current");
  }
  return current;
}

size_t workspace_of(const LtProblem& p, LtNumber number) {
  if (number != LtNumber::split) return 0;
  return static_cast<size_t>(2 * p.m() * p.n() * p.d.batch * (p.compute == CUBLAS_COMPUTE_64F ? 8 : 4));
}

bool runs(const LtProblem& p, LtNumber number) { return number != LtNumber::refused || p.digest() % 3 != 0; }

void write_algorithm(const LtProblem& p, LtNumber number, cublasLtMatmulAlgo_t& out) {
  const Written written = {magic, p.kind(), static_cast<uint64_t>(number)};
  out = {};
  std::memcpy(out.data, &written, sizeof written);
}

bool was_offered(const cublasLtMatmulAlgo_t& algorithm) { return algorithm.data[0] == magic; }

cublasStatus_t read_algorithm(const LtProblem& p, const cublasLtMatmulAlgo_t& from, LtAlgorithm& out) {
  Written written = {};
  std::memcpy(&written, from.data, sizeof written);
  if (written.magic != magic || written.kind != p.kind() || written.number >= lt_numbers) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  out.number = static_cast<LtNumber>(written.number);
  out.workspace = workspace_of(p, out.number);
  return does_sizes(p, out) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

cublasStatus_t cublasLtCreate(cublasLtHandle_t* out) {
  int device = 0;
  if (!out) return CUBLAS_STATUS_INVALID_VALUE;
  if (cudaGetDevice(&device) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  const std::lock_guard lock(handles().mutex);
  *out = reinterpret_cast<cublasLtHandle_t>(new char);
  handles().device[*out] = device;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  const std::lock_guard lock(handles().mutex);
  if (handles().device.erase(handle) == 0) misuse("cublasLtDestroy: a handle that was never made or is destroyed");
  delete reinterpret_cast<char*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  constexpr const char* call = "cublasLtMatmulAlgoGetHeuristic";
  check_handle(call, handle);
  require_descriptor(call, "cublasLtMatmulPreference", preference);
  if (requested <= 0 || !results || !returned) return CUBLAS_STATUS_INVALID_VALUE;
  *returned = 0;
  LtProblem problem;
  if (const auto status = read_problem(call, operation, a, b, c, d, problem); status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  uint64_t most = 0;
  size_t written = 0;
  real(&cublasLtMatmulPreferenceGetAttribute, "cublasLtMatmulPreferenceGetAttribute")(
      preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most, &written);
  const auto promised = [&](cublasLtMatmulPreferenceAttributes_t name) {
    return preferred_alignment(preference, name);
  };
  const uint32_t a_aligned = promised(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
  const uint32_t b_aligned = promised(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
  const uint32_t c_aligned = promised(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
  const uint32_t d_aligned = promised(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
  std::vector<LtNumber> offered;
  for (uint64_t i = 0; i < lt_numbers; ++i) {
    const auto number = static_cast<LtNumber>(i);
    const LtAlgorithm algorithm = {number, workspace_of(problem, number)};
    // The bias has no preference: its pointer itself is looked at.
    const bool fits = a_aligned >= algorithm.of_a() && b_aligned >= algorithm.of_b() && d_aligned >= algorithm.of_d() &&
                      c_aligned >= algorithm.needs(false) &&
                      reinterpret_cast<uintptr_t>(problem.bias) % algorithm.of_bias() == 0;
    if (fits && algorithm.workspace <= most && does_sizes(problem, algorithm)) offered.push_back(number);
  }
  const uint64_t digest = problem.digest();
  std::rotate(offered.begin(), offered.begin() + static_cast<std::ptrdiff_t>(digest % offered.size()), offered.end());
  const auto add = [&](const cublasLtMatmulHeuristicResult_t& result) {
    if (*returned < requested) results[(*returned)++] = result;
  };
  if (requested > 1 && digest / 7 % 2 == 0) {  // nothing else of it is valid
    cublasLtMatmulHeuristicResult_t failed;
    std::memset(&failed, 0xff, sizeof failed);
    failed.state = CUBLAS_STATUS_NOT_SUPPORTED;
    add(failed);
  }
  for (const LtNumber number : offered) {
    cublasLtMatmulHeuristicResult_t result = {};
    write_algorithm(problem, number, result.algo);
    result.workspaceSize = workspace_of(problem, number);
    result.state = CUBLAS_STATUS_SUCCESS;
    result.wavesCount = 1;
    add(result);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  constexpr const char* call = "cublasLtMatmulAlgoCheck";
  check_handle(call, handle);
  if (!algorithm || !result) return CUBLAS_STATUS_INVALID_VALUE;
  LtProblem problem;
  LtAlgorithm found;
  if (const auto status = read_problem(call, operation, a, b, c, d, problem); status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (const auto status = read_algorithm(problem, *algorithm, found); status != CUBLAS_STATUS_SUCCESS) return status;
  // Success does not promise that it runs, but failure promises that it will not.
  if (!runs(problem, found.number) && problem.digest() / 5 % 2 == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  result->workspaceSize = found.workspace;
  result->state = CUBLAS_STATUS_SUCCESS;
  result->wavesCount = 1;
  return CUBLAS_STATUS_SUCCESS;
}
