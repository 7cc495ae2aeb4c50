#include "tests/fake_gpu/cublaslt_problem.h"

#include <map>
#include <mutex>

#include "tests/fake_gpu/products.h"
#include "tests/fake_gpu/real_library.h"

namespace bev::fake_gpu {

namespace {

/// Descriptors that live, with what they are.
struct Descriptors {
  std::mutex mutex;
  std::map<const void*, const char*> living;
};
Descriptors& descriptors() {
  static auto* const out = new Descriptors;
  return *out;
}

template <class Handle>
cublasStatus_t born(cublasStatus_t status, const Handle* handle, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const std::lock_guard lock(descriptors().mutex);
  descriptors().living[*handle] = what;
  return status;
}

void buried(const char* call, const char* what, const void* handle) {
  require_descriptor(call, what, handle);
  const std::lock_guard lock(descriptors().mutex);
  descriptors().living.erase(handle);
}

template <class T>
void read(cublasLtMatmulDesc_t from, cublasLtMatmulDescAttributes_t name, T& value) {
  static auto* const get = real(&cublasLtMatmulDescGetAttribute, "cublasLtMatmulDescGetAttribute");
  size_t written = 0;
  if (get(from, name, &value, sizeof value, &written) != CUBLAS_STATUS_SUCCESS || written != sizeof value) {
    misuse("cublasLtMatmulDesc: attribute " + std::to_string(name) + " cannot be read back");
  }
}
template <class T>
void read(cublasLtMatrixLayout_t from, cublasLtMatrixLayoutAttribute_t name, T& value) {
  static auto* const get = real(&cublasLtMatrixLayoutGetAttribute, "cublasLtMatrixLayoutGetAttribute");
  size_t written = 0;
  if (get(from, name, &value, sizeof value, &written) != CUBLAS_STATUS_SUCCESS || written != sizeof value) {
    misuse("cublasLtMatrixLayout: attribute " + std::to_string(name) + " cannot be read back");
  }
}

LtMatrix read_layout(const char* call, const char* what, cublasLtMatrixLayout_t layout) {
  require_descriptor(call, what, layout);
  LtMatrix out;
  uint32_t type = 0;
  int32_t order = 0, batch = 0;
  uint64_t rows = 0, cols = 0;
  read(layout, CUBLASLT_MATRIX_LAYOUT_TYPE, type);
  read(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, order);
  read(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, rows);
  read(layout, CUBLASLT_MATRIX_LAYOUT_COLS, cols);
  read(layout, CUBLASLT_MATRIX_LAYOUT_LD, out.ld);
  read(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batch);
  read(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, out.stride);
  out.type = static_cast<cudaDataType_t>(type);
  out.order = static_cast<cublasLtOrder_t>(order);
  out.rows = static_cast<int64_t>(rows);
  out.cols = static_cast<int64_t>(cols);
  out.batch = batch;
  return out;
}

bool sound(const LtMatrix& x) {
  const int64_t line = x.order == CUBLASLT_ORDER_COL ? x.rows : x.cols;
  return x.rows > 0 && x.cols > 0 && x.ld >= line && x.batch > 0 && x.stride >= 0;
}

/// The members of a batch lie behind each other, or beside each other within the leading dimension.
bool members_overlap(const LtMatrix& x) {
  const int64_t line = x.order == CUBLASLT_ORDER_COL ? x.rows : x.cols;
  const bool beside = x.stride >= line && (x.batch - 1) * x.stride + line <= x.ld;
  return x.batch > 1 && x.stride < x.elements() && !beside;
}

/// The rows of cublasLtMatmul's table of types that are pretended here.
bool supported(const LtProblem& p) {
  if (p.a.type != p.b.type || p.c.type != p.d.type) return false;
  if (p.compute == CUBLAS_COMPUTE_64F) return p.scale == CUDA_R_64F && p.a.type == CUDA_R_64F && p.d.type == CUDA_R_64F;
  if (p.scale != CUDA_R_32F) return false;
  if (p.compute == CUBLAS_COMPUTE_32F_FAST_TF32 || p.compute == CUBLAS_COMPUTE_32F_FAST_16BF) {
    return p.a.type == CUDA_R_32F && p.d.type == CUDA_R_32F;
  }
  if (p.compute != CUBLAS_COMPUTE_32F) return false;
  return (p.a.type == CUDA_R_32F && p.d.type == CUDA_R_32F) ||
         (p.a.type == CUDA_R_16BF && (p.d.type == CUDA_R_32F || p.d.type == CUDA_R_16BF));
}

void add(Digest& digest, const LtMatrix& x) {
  for (const int64_t value : {int64_t{x.type}, int64_t{x.order}, x.rows, x.cols, x.ld, x.batch, x.stride}) {
    digest.add(value);
  }
}

}  // namespace

void require_descriptor(const char* call, const char* what, const void* descriptor) {
  const std::lock_guard lock(descriptors().mutex);
  const auto found = descriptors().living.find(descriptor);
  if (found == descriptors().living.end()) {
    misuse(std::string(call) + ": a " + what + " that was never made or is destroyed");
  }
  if (std::string(found->second) != what) {
    misuse(std::string(call) + ": a " + found->second + " where a " + what + " belongs");
  }
}

std::string LtProblem::text() const {
  return "product " + std::to_string(m()) + " x " + std::to_string(n()) + " x " + std::to_string(k()) + ", batch " +
         std::to_string(d.batch);
}

uint64_t LtProblem::kind() const {
  Digest digest;
  for (const int64_t value :
       {int64_t{compute}, int64_t{scale}, int64_t{transpose_a}, int64_t{transpose_b}, int64_t{epilogue},
        int64_t{a.type}, int64_t{d.type}, int64_t{a.order}, int64_t{b.order}, int64_t{d.order}}) {
    digest.add(value);
  }
  return digest.value()[0];
}

uint64_t LtProblem::digest() const {
  Digest digest;
  digest.add(static_cast<int64_t>(kind()));
  for (const LtMatrix* x : {&a, &b, &c, &d}) add(digest, *x);
  return digest.value()[0];
}

cublasStatus_t read_problem(const char* call, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                            cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                            LtProblem& out) {
  require_descriptor(call, "cublasLtMatmulDesc", operation);
  int32_t transpose_a = 0, transpose_b = 0, compute = 0, scale = 0, mode = 0;
  uint32_t epilogue = 0;
  read(operation, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, compute);
  read(operation, CUBLASLT_MATMUL_DESC_SCALE_TYPE, scale);
  read(operation, CUBLASLT_MATMUL_DESC_POINTER_MODE, mode);
  read(operation, CUBLASLT_MATMUL_DESC_TRANSA, transpose_a);
  read(operation, CUBLASLT_MATMUL_DESC_TRANSB, transpose_b);
  read(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  read(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, out.bias);
  out.compute = static_cast<cublasComputeType_t>(compute);
  out.scale = static_cast<cudaDataType_t>(scale);
  out.transpose_a = transpose_a != CUBLAS_OP_N;
  out.transpose_b = transpose_b != CUBLAS_OP_N;
  out.epilogue = static_cast<cublasLtEpilogue_t>(epilogue);
  out.a = read_layout(call, "cublasLtMatrixLayout", a);
  out.b = read_layout(call, "cublasLtMatrixLayout", b);
  out.c = read_layout(call, "cublasLtMatrixLayout", c);
  out.d = read_layout(call, "cublasLtMatrixLayout", d);

  if (mode != CUBLASLT_POINTER_MODE_HOST) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (const LtMatrix* x : {&out.a, &out.b, &out.c, &out.d}) {
    if (x->order != CUBLASLT_ORDER_COL && x->order != CUBLASLT_ORDER_ROW) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!sound(*x) || x->batch != out.d.batch) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const int64_t m = out.transpose_a ? out.a.cols : out.a.rows, n = out.transpose_b ? out.b.rows : out.b.cols;
  const int64_t k = out.transpose_b ? out.b.cols : out.b.rows;
  if (m != out.m() || n != out.n() || k != out.k()) return CUBLAS_STATUS_INVALID_VALUE;
  if (out.c.rows != out.d.rows || out.c.cols != out.d.cols) return CUBLAS_STATUS_INVALID_VALUE;
  if (members_overlap(out.d)) {
    misuse(std::string(call) + ": " + out.text() + ": the members of the result's batch overlap");
  }
  if (!supported(out)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (out.epilogue != CUBLASLT_EPILOGUE_DEFAULT && out.epilogue != CUBLASLT_EPILOGUE_BIAS) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  if (out.epilogue == CUBLASLT_EPILOGUE_BIAS && out.d.order != CUBLASLT_ORDER_COL) return CUBLAS_STATUS_NOT_SUPPORTED;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* out, cublasComputeType_t compute, cudaDataType_t scale) {
  return born(real(&cublasLtMatmulDescCreate, "cublasLtMatmulDescCreate")(out, compute, scale), out,
              "cublasLtMatmulDesc");
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t it) {
  buried("cublasLtMatmulDescDestroy", "cublasLtMatmulDesc", it);
  return real(&cublasLtMatmulDescDestroy, "cublasLtMatmulDescDestroy")(it);
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t it, cublasLtMatmulDescAttributes_t name,
                                              const void* value, size_t bytes) {
  require_descriptor("cublasLtMatmulDescSetAttribute", "cublasLtMatmulDesc", it);
  return real(&cublasLtMatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute")(it, name, value, bytes);
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* out, cudaDataType_t type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  return born(real(&cublasLtMatrixLayoutCreate, "cublasLtMatrixLayoutCreate")(out, type, rows, cols, ld), out,
              "cublasLtMatrixLayout");
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t it) {
  buried("cublasLtMatrixLayoutDestroy", "cublasLtMatrixLayout", it);
  return real(&cublasLtMatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy")(it);
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t it, cublasLtMatrixLayoutAttribute_t name,
                                                const void* value, size_t bytes) {
  require_descriptor("cublasLtMatrixLayoutSetAttribute", "cublasLtMatrixLayout", it);
  return real(&cublasLtMatrixLayoutSetAttribute, "cublasLtMatrixLayoutSetAttribute")(it, name, value, bytes);
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* out) {
  return born(real(&cublasLtMatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate")(out), out,
              "cublasLtMatmulPreference");
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t it) {
  buried("cublasLtMatmulPreferenceDestroy", "cublasLtMatmulPreference", it);
  return real(&cublasLtMatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy")(it);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t it,
                                                    cublasLtMatmulPreferenceAttributes_t name, const void* value,
                                                    size_t bytes) {
  require_descriptor("cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulPreference", it);
  return real(&cublasLtMatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute")(it, name, value, bytes);
}
