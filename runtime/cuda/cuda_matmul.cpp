// Products by cuBLASLt. It thinks in columns: a row-major C = op(A) op(B) is its C^T = op(B)^T op(A)^T, so B is its
// first factor and A its second, sizes n x m x k, and a bias runs along its rows, as CUBLASLT_EPILOGUE_BIAS wants. The
// algorithm for a shape is the fastest of those that its heuristic offers, timed on scratch memory when the shape first
// occurs (in the warm-up step, before any collective) or read from the cache.
#include <cublasLt.h>

#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "runtime/autotune_cache.h"
#include "runtime/cpu/admit.h"
#include "runtime/cuda/check.h"
#include "runtime/cuda/stopwatch.h"
#include "runtime/matmul.h"
#include "runtime/tally.h"

namespace bev {

namespace {

using cuda::check;
using cuda::handle_of;

constexpr size_t workspace_bytes = size_t{32} << 20;  // what Hopper's kernels ask for
constexpr int candidates_at_most = 24;

struct Destroy {
  void operator()(cublasLtMatmulDescOpaque_t* p) const { cublasLtMatmulDescDestroy(p); }
  void operator()(cublasLtMatrixLayoutOpaque_t* p) const { cublasLtMatrixLayoutDestroy(p); }
  void operator()(cublasLtMatmulPreferenceOpaque_t* p) const { cublasLtMatmulPreferenceDestroy(p); }
};
using Operation = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy>;

cublasComputeType_t compute_type(Precision precision) {
  switch (precision) {
    case Precision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;  // floats in memory, rounded to bf16 on the way into the tensor cores
    case Precision::fp32:
      break;
  }
  return CUBLAS_COMPUTE_32F;
}

Operation make_operation(Precision precision, const MatmulShape& s, const void* bias) {
  cublasLtMatmulDesc_t raw = nullptr;
  check(cublasLtMatmulDescCreate(&raw, compute_type(precision), CUDA_R_32F), "describing a product");
  Operation out(raw);
  const cublasOperation_t first = s.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t second = s.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(cublasLtMatmulDescSetAttribute(raw, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first), "describing a product");
  check(cublasLtMatmulDescSetAttribute(raw, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second),
        "describing a product");
  if (bias) {
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    check(cublasLtMatmulDescSetAttribute(raw, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
          "asking for a bias");
    check(cublasLtMatmulDescSetAttribute(raw, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
          "asking for a bias");
  }
  return out;
}

/// A stored row-major matrix of `rows` rows, to a library that calls them columns.
Layout make_layout(int64_t rows, int64_t cols, int64_t ld, int64_t batch, int64_t stride) {
  cublasLtMatrixLayout_t raw = nullptr;
  check(cublasLtMatrixLayoutCreate(&raw, CUDA_R_32F, static_cast<uint64_t>(cols), static_cast<uint64_t>(rows), ld),
        "describing a matrix");
  Layout out(raw);
  const auto count = static_cast<int32_t>(batch);
  check(cublasLtMatrixLayoutSetAttribute(raw, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
        "describing a batch");
  check(cublasLtMatrixLayoutSetAttribute(raw, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
        "describing a batch");
  return out;
}

/// The largest power of two, up to 256, that the address is a multiple of.
uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer) | 256;
  return static_cast<uint32_t>(address & (~address + 1));
}

/// What an algorithm depends on.
struct Key {
  MatmulShape shape;
  bool bias, accumulate;
  uint32_t align_a, align_b, align_c, align_bias;

  std::string text() const {
    const MatmulShape& s = shape;
    return fmt::format("{} x {} x {}, {}{}, ld {} {} {}, batch {} {} {} {}, bias {}, add {}, align {} {} {} {}", s.m,
                       s.n, s.k, s.transpose_a ? 't' : 'n', s.transpose_b ? 't' : 'n', s.lda, s.ldb, s.ldc, s.batch,
                       s.stride_a, s.stride_b, s.stride_c, bias, accumulate, align_a, align_b, align_c, align_bias);
  }
  auto members() const {
    const MatmulShape& s = shape;
    return std::tuple(s.m, s.n, s.k, s.transpose_a, s.transpose_b, s.lda, s.ldb, s.ldc, s.batch, s.stride_a, s.stride_b,
                      s.stride_c, bias, accumulate, align_a, align_b, align_c, align_bias);
  }
  bool operator<(const Key& other) const { return members() < other.members(); }
};

std::string to_text(const cublasLtMatmulAlgo_t& algorithm) {
  std::string out;
  for (const uint64_t word : algorithm.data) out += fmt::format("{:016x}", word);
  return out;
}

bool from_text(const std::string& text, cublasLtMatmulAlgo_t& algorithm) {
  constexpr size_t digits = 16, words = std::size(cublasLtMatmulAlgo_t{}.data);
  if (text.size() != digits * words || text.find_first_not_of("0123456789abcdef") != std::string::npos) return false;
  for (size_t i = 0; i < words; ++i) algorithm.data[i] = std::stoull(text.substr(i * digits, digits), nullptr, 16);
  return true;
}

class CudaMatmul : public MatmulEngine {
 public:
  CudaMatmul(const Stream& stream, Precision precision, const std::string& cache_directory)
      : precision_(precision), cache_(cache_path(stream, precision, cache_directory)) {
    check(cublasLtCreate(&handle_), "creating a cuBLASLt handle");
    check(cudaMalloc(&workspace_, workspace_bytes), "allocating the workspace of products");
  }
  ~CudaMatmul() override {
    cudaFree(workspace_);
    cublasLtDestroy(handle_);
  }

  void run(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
           double alpha, double beta, const void* bias) override {
    if (tallied(stream, shape) || shape.m == 0 || shape.n == 0 || shape.batch == 0) return;
    if (type != DType::f32) {
      fail(ErrorKind::runtime, "product {}: {} on a GPU: expected F32", cpu::text(shape), name_of(type));
    }
    if (shape.k == 0) fail(ErrorKind::runtime, "product {}: no terms to sum", cpu::text(shape));
    const Key key{shape,           bias != nullptr, beta != 0,         alignment_of(a),
                  alignment_of(b), alignment_of(c), alignment_of(bias)};
    auto known = plans_.find(key);
    if (known == plans_.end()) known = plans_.emplace(key, choose(stream, key, a, b, c, bias)).first;
    execute(stream, key, known->second, a, b, c, static_cast<float>(alpha), static_cast<float>(beta), bias);
  }

 private:
  struct Plan {
    Layout first, second, result;
    cublasLtMatmulAlgo_t algorithm = {};
  };

  static std::string cache_path(const Stream& stream, Precision precision, const std::string& directory) {
    if (directory.empty()) return "";
    cudaDeviceProp properties = {};
    check(cudaGetDeviceProperties(&properties, stream.ordinal), "reading a device's properties");
    return autotune_path(directory, "cublaslt", std::to_string(cublasLtGetVersion()), properties.name,
                         name_of(precision));
  }

  void launch(const Stream& stream, const Operation& operation, const Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
              const Key& key, const void* a, const void* b, void* c, float alpha, float beta) {
    const cublasStatus_t status = cublasLtMatmul(handle_, operation.get(), &alpha, b, plan.first.get(), a,
                                                 plan.second.get(), &beta, c, plan.result.get(), c, plan.result.get(),
                                                 &algorithm, workspace_, workspace_bytes, handle_of(stream));
    if (status != CUBLAS_STATUS_SUCCESS) check(status, "product " + key.text());
  }

  void execute(const Stream& stream, const Key& key, const Plan& plan, const void* a, const void* b, void* c,
               float alpha, float beta, const void* bias) {
    launch(stream, make_operation(precision_, key.shape, bias), plan, plan.algorithm, key, a, b, c, alpha, beta);
  }

  Plan choose(const Stream& stream, const Key& key, const void* a, const void* b, void* c, const void* bias) {
    const MatmulShape& s = key.shape;
    Plan plan;
    plan.first = make_layout(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.ldb, s.batch, s.stride_b);
    plan.second = make_layout(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.lda, s.batch, s.stride_a);
    plan.result = make_layout(s.m, s.n, s.ldc, s.batch, s.stride_c);
    const Operation operation = make_operation(precision_, s, bias);

    if (const auto kept = cache_.find(key.text()); kept && from_text(*kept, plan.algorithm)) {
      cublasLtMatmulHeuristicResult_t result = {};
      const cublasStatus_t status =
          cublasLtMatmulAlgoCheck(handle_, operation.get(), plan.first.get(), plan.second.get(), plan.result.get(),
                                  plan.result.get(), &plan.algorithm, &result);
      if (status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= workspace_bytes) return plan;
    }
    const auto offered = heuristics(operation, plan, key);
    const auto best = fastest(stream, operation, plan, offered, key, a, b, c);
    plan.algorithm = best.value_or(offered.front());
    if (best) cache_.remember(key.text(), to_text(*best));
    return plan;
  }

  std::vector<cublasLtMatmulAlgo_t> heuristics(const Operation& operation, const Plan& plan, const Key& key) {
    cublasLtMatmulPreference_t raw = nullptr;
    check(cublasLtMatmulPreferenceCreate(&raw), "asking for algorithms");
    const Preference preference(raw);
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(raw, attribute, &value, sizeof value), "asking for algorithms");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
    // The library's first factor is B.
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.align_b);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.align_a);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.align_c);
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.align_c);
    std::array<cublasLtMatmulHeuristicResult_t, candidates_at_most> results = {};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, operation.get(), plan.first.get(), plan.second.get(), plan.result.get(),
                                       plan.result.get(), raw, candidates_at_most, results.data(), &count);
    std::vector<cublasLtMatmulAlgo_t> out;
    for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < count; ++i) {
      if (results[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS) {
        out.push_back(results[static_cast<size_t>(i)].algo);
      }
    }
    if (out.empty()) fail(ErrorKind::runtime, "product {}: cuBLASLt offers no algorithm", key.text());
    return out;
  }

  /// Timed into C itself, which the call that follows writes anew; where it is added to, into scratch memory of its
  /// extent. Nothing where that is not free: then the library's own first choice serves, and is not remembered.
  std::optional<cublasLtMatmulAlgo_t> fastest(const Stream& stream, const Operation& operation, const Plan& plan,
                                              const std::vector<cublasLtMatmulAlgo_t>& offered, const Key& key,
                                              const void* a, const void* b, void* c) {
    if (offered.size() == 1) return offered.front();
    const MatmulShape& s = key.shape;
    const auto extent = static_cast<size_t>((s.batch - 1) * s.stride_c + (s.m - 1) * s.ldc + s.n) * sizeof(float);
    const size_t offset = reinterpret_cast<uintptr_t>(c) % 256;  // as aligned as C is
    auto scratch = std::unique_ptr<void, cudaError_t (*)(void*)>(nullptr, cudaFree);
    void* target = c;
    if (key.accumulate) {
      scratch = cuda::scratch_memory(extent + offset, handle_of(stream));
      if (!scratch) return std::nullopt;
      target = static_cast<std::byte*>(scratch.get()) + offset;
    }

    cuda::Stopwatch stopwatch(handle_of(stream));
    const float beta = key.accumulate ? 1 : 0;
    const cublasLtMatmulAlgo_t* best = nullptr;
    float best_time = std::numeric_limits<float>::infinity();
    for (const cublasLtMatmulAlgo_t& algorithm : offered) {
      float time = 0;
      try {
        time = stopwatch.measure([&] { launch(stream, operation, plan, algorithm, key, a, b, target, 1, beta); },
                                 best_time);
      } catch (const Error&) {  // offered, but does not run: another will
        cudaGetLastError();     // and the next launch is not to blame
        continue;
      }
      if (!best || time < best_time) {
        best = &algorithm;
        best_time = time;
      }
    }
    if (!best) fail(ErrorKind::runtime, "product {}: no algorithm that cuBLASLt offers runs", key.text());
    return *best;
  }

  Precision precision_;
  AutotuneCache cache_;
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<Key, Plan> plans_;
};

}  // namespace

std::unique_ptr<MatmulEngine> make_cuda_matmul(const Stream& stream, Precision precision,
                                               const std::string& cache_directory) {
  return std::make_unique<CudaMatmul>(stream, precision, cache_directory);
}

}  // namespace bev
