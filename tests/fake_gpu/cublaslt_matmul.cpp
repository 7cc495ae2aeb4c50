// cublasLtMatmul: what it checks before it starts, and what it computes on the stream.
#include <cublasLt.h>

#include <algorithm>
#include <cstring>

#include "tests/fake_gpu/cublaslt_algorithm.h"
#include "tests/fake_gpu/products.h"
#include "tests/fake_gpu/real_library.h"

namespace bev::fake_gpu {

namespace {

struct Call {
  LtProblem problem;
  LtAlgorithm algorithm;
  double alpha = 1, beta = 0;
  const std::byte *a = nullptr, *b = nullptr, *c = nullptr;
  std::byte *d = nullptr, *workspace = nullptr;
};

Rounding rounding_of(const Call& call) {
  switch (call.problem.compute) {
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return call.algorithm.number == LtNumber::plain ? Rounding::tf32_nearest : Rounding::tf32_truncated;
    case CUBLAS_COMPUTE_32F_FAST_16BF:
      return Rounding::bf16;
    default:
      return Rounding::none;
  }
}

double load(const std::byte* at, cudaDataType_t type) {
  double wide = 0;
  float narrow = 0;
  uint16_t half = 0;
  switch (type) {
    case CUDA_R_64F:
      std::memcpy(&wide, at, sizeof wide);
      return wide;
    case CUDA_R_16BF:
      std::memcpy(&half, at, sizeof half);
      return static_cast<double>(from_bf16(half));
    default:
      std::memcpy(&narrow, at, sizeof narrow);
      return static_cast<double>(narrow);
  }
}
void store(std::byte* at, cudaDataType_t type, double x) {
  const auto narrow = static_cast<float>(x);
  const uint16_t half = to_bf16(narrow);
  type == CUDA_R_64F    ? std::memcpy(at, &x, sizeof x)
  : type == CUDA_R_16BF ? std::memcpy(at, &half, sizeof half)
                        : std::memcpy(at, &narrow, sizeof narrow);
}

/// The sums of one member of the batch, transposed: [n, m], since columns lie side by side.
template <class T>
std::shared_ptr<const std::vector<T>> sums(const Call& call, int64_t member) {
  const LtProblem& p = call.problem;
  const int64_t m = p.m(), n = p.n(), k = p.k();
  const auto factor = [&](const std::byte* data, const LtMatrix& x, bool transposed) {
    const void* const at = data + member * x.stride * x.element_bytes();
    const bool swapped = !transposed;  // wanted is the transpose of op(X)
    return packed<T>({at, x.type, swapped ? x.cols : x.rows, swapped ? x.rows : x.cols,
                      swapped ? x.col_step() : x.row_step(), swapped ? x.row_step() : x.col_step()},
                     rounding_of(call));
  };
  const std::vector<T> first = factor(call.b, p.b, p.transpose_b), second = factor(call.a, p.a, p.transpose_a);
  const int64_t splits = call.algorithm.number == LtNumber::split   ? 2
                         : call.algorithm.number == LtNumber::plain ? 1
                                                                    : 4;
  if constexpr (std::is_same_v<T, float>) {
    Digest digest;
    for (const int64_t value : {m, n, k, splits}) digest.add(value);
    digest.add(first);
    digest.add(second);
    return remembered(digest, [&] { return product<float>(first.data(), second.data(), n, m, k, splits); });
  } else {
    return std::make_shared<const std::vector<T>>(product<T>(first.data(), second.data(), n, m, k, splits));
  }
}

template <class T>
void compute(const Call& call) {
  const LtProblem& p = call.problem;
  if (call.algorithm.workspace > 0) std::memset(call.workspace, 0xff, call.algorithm.workspace);
  for (int64_t member = 0; member < p.d.batch; ++member) {
    const auto result = sums<T>(call, member);
    for (int64_t j = 0; j < p.n(); ++j) {
      for (int64_t i = 0; i < p.m(); ++i) {
        const auto at = [&](const LtMatrix& x) {
          return (member * x.stride + i * x.row_step() + j * x.col_step()) * x.element_bytes();
        };
        T x = static_cast<T>(call.alpha) * (*result)[static_cast<size_t>(j * p.m() + i)];
        if (call.beta != 0) x += static_cast<T>(call.beta) * static_cast<T>(load(call.c + at(p.c), p.c.type));
        if (p.epilogue == CUBLASLT_EPILOGUE_BIAS) {
          x += static_cast<T>(load(static_cast<const std::byte*>(p.bias) + i * p.d.element_bytes(), p.d.type));
        }
        store(call.d + at(p.d), p.d.type, static_cast<double>(x));
      }
    }
  }
}

void check_memory(const Call& call, size_t workspace_bytes) {
  const LtProblem& p = call.problem;
  const std::string name = "cublasLtMatmul: " + p.text();
  const size_t bias_bytes = p.epilogue == CUBLASLT_EPILOGUE_BIAS ? static_cast<size_t>(p.m() * p.d.element_bytes()) : 0;
  require_device_memory(name, "A", call.a, p.a.bytes());
  require_device_memory(name, "B", call.b, p.b.bytes());
  require_device_memory(name, "D", call.d, p.d.bytes());
  if (call.beta != 0) require_device_memory(name, "C", call.c, p.c.bytes());
  require_device_memory(name, "the bias", p.bias, bias_bytes);
  require_device_memory(name, "the workspace", call.workspace, workspace_bytes);
  if (call.c == call.d ? !(p.c == p.d) : call.beta != 0 && overlap(call.c, p.c.bytes(), call.d, p.d.bytes())) {
    misuse(name + ": C and D share memory and are not the same matrix");
  }
  const struct {
    const char* what;
    const void* data;
    size_t bytes, alignment;
    bool apart;  // from D
  } operands[] = {{"A", call.a, p.a.bytes(), call.algorithm.of_a(), true},
                  {"B", call.b, p.b.bytes(), call.algorithm.of_b(), true},
                  {"the bias", p.bias, bias_bytes, call.algorithm.of_bias(), true},
                  {"C", call.c, call.beta != 0 ? p.c.bytes() : 0, call.algorithm.needs(false), false},
                  {"D", call.d, p.d.bytes(), call.algorithm.of_d(), false}};
  for (const auto& [what, data, bytes, alignment, apart] : operands) {
    if (apart && overlap(data, bytes, call.d, p.d.bytes())) misuse(name + ": D is written over " + what);
    if (overlap(data, bytes, call.workspace, workspace_bytes)) misuse(name + ": the workspace lies over " + what);
    if (bytes > 0 && reinterpret_cast<uintptr_t>(data) % alignment != 0) {
      misuse(name + ": " + what + " is not aligned as the algorithm was promised (16 bytes)");
    }
  }
}

}  // namespace

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  constexpr const char* name = "cublasLtMatmul";
  check_handle(name, handle);
  Call call;
  LtProblem& p = call.problem;
  if (const auto status = read_problem(name, operation, a_layout, b_layout, c_layout, d_layout, p);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (!alpha || !beta || !a || !b || !d) return CUBLAS_STATUS_INVALID_VALUE;
  if (p.epilogue == CUBLASLT_EPILOGUE_BIAS && !p.bias) return CUBLAS_STATUS_INVALID_VALUE;
  cublasLtMatmulAlgo_t any = {};
  if (!algorithm) write_algorithm(p, LtNumber::plain, any);
  if (algorithm && !was_offered(*algorithm)) misuse(std::string(name) + ": an algorithm that was never offered");
  if (const auto status = read_algorithm(p, algorithm ? *algorithm : any, call.algorithm);
      status != CUBLAS_STATUS_SUCCESS) {
    return status;
  }
  if (!runs(p, call.algorithm.number)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (workspace_bytes < call.algorithm.workspace) return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace_bytes > 0 && reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  call.alpha = load(static_cast<const std::byte*>(alpha), p.scale);
  call.beta = load(static_cast<const std::byte*>(beta), p.scale);
  if (call.beta != 0 && !c) return CUBLAS_STATUS_INVALID_VALUE;
  call.a = static_cast<const std::byte*>(a);
  call.b = static_cast<const std::byte*>(b);
  call.c = static_cast<const std::byte*>(c);
  call.d = static_cast<std::byte*>(d);
  call.workspace = static_cast<std::byte*>(workspace);
  check_memory(call, workspace_bytes);
  enqueue(stream, "cublasLtMatmul " + p.text(),
          [call] { call.problem.compute == CUBLAS_COMPUTE_64F ? compute<double>(call) : compute<float>(call); });
  return CUBLAS_STATUS_SUCCESS;
}
