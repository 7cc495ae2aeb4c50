// Small things to ask the pretended libraries for, as a program would: tests change one part of them at a time.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <doctest/doctest.h>
#include <nccl.h>

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace bev::fake_gpu {

inline cudaStream_t new_stream() {
  cudaStream_t out = nullptr;
  cudaStreamCreateWithFlags(&out, cudaStreamNonBlocking);
  return out;
}

template <class T>
T* on_device(const std::vector<T>& values, cudaStream_t stream) {
  void* out = nullptr;
  cudaMalloc(&out, values.size() * sizeof(T));
  cudaMemcpyAsync(out, values.data(), values.size() * sizeof(T), cudaMemcpyDefault, stream);
  cudaStreamSynchronize(stream);
  return static_cast<T*>(out);
}

template <class T>
std::vector<T> on_host(const T* memory, size_t count, cudaStream_t stream) {
  std::vector<T> out(count);
  cudaMemcpyAsync(out.data(), memory, count * sizeof(T), cudaMemcpyDefault, stream);
  cudaStreamSynchronize(stream);
  return out;
}

/// D [m, n] = A [m, k] B [k, n] in columns, all dense, of floats that are 1 unless told.
struct Product {
  int64_t m = 16, n = 8, k = 32;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t type = CUDA_R_32F, scale = CUDA_R_32F;
  cudaStream_t stream = new_stream();
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a_layout = nullptr, b_layout = nullptr, d_layout = nullptr;
  void *a = nullptr, *b = nullptr, *d = nullptr, *workspace = nullptr;
  size_t workspace_bytes = size_t{1} << 20;
  float alpha = 1, beta = 0;

  void make(int64_t lda = 0) {
    cublasLtCreate(&handle);
    cublasLtMatmulDescCreate(&operation, compute, scale);
    cublasLtMatrixLayoutCreate(&a_layout, type, m, k, lda ? lda : m);
    cublasLtMatrixLayoutCreate(&b_layout, type, k, n, k);
    cublasLtMatrixLayoutCreate(&d_layout, type, m, n, m);
    a = on_device(std::vector<float>(static_cast<size_t>(m * k), 1), stream);
    b = on_device(std::vector<float>(static_cast<size_t>(k * n), 1), stream);
    d = on_device(std::vector<float>(static_cast<size_t>(m * n), 1), stream);
    cudaMalloc(&workspace, workspace_bytes);
  }
  std::vector<cublasLtMatmulHeuristicResult_t> offers(uint32_t alignment = 256, cublasStatus_t* status = nullptr) {
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                                         sizeof workspace_bytes);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &alignment,
                                         sizeof alignment);
    std::vector<cublasLtMatmulHeuristicResult_t> out(16);
    int count = 0;
    const auto answer = cublasLtMatmulAlgoGetHeuristic(handle, operation, a_layout, b_layout, d_layout, d_layout,
                                                       preference, 16, out.data(), &count);
    if (status) *status = answer;
    cublasLtMatmulPreferenceDestroy(preference);
    out.resize(static_cast<size_t>(count));
    return out;
  }
  cublasStatus_t run(const cublasLtMatmulAlgo_t* algorithm = nullptr) {
    return cublasLtMatmul(handle, operation, &alpha, a, a_layout, b, b_layout, &beta, d, d_layout, d, d_layout,
                          algorithm, workspace, workspace_bytes, stream);
  }
};

/// A rank of a communicator that does not block, on the device of its number.
struct Rank {
  int rank;
  cudaStream_t stream = nullptr;
  ncclComm_t communicator = nullptr;
  float* memory = nullptr;  // 64 numbers, all rank + 1

  explicit Rank(int number) : rank(number) {}
  ncclResult_t begin(int size, const ncclUniqueId& id) {
    cudaSetDevice(rank);
    stream = new_stream();
    memory = on_device(std::vector<float>(64, static_cast<float>(rank + 1)), stream);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return ncclCommInitRankConfig(&communicator, size, id, rank, &config);
  }
  /// What the communicator's last call came to.
  ncclResult_t settle() const {
    for (ncclResult_t state = ncclInProgress;; std::this_thread::sleep_for(std::chrono::microseconds(50))) {
      if (ncclCommGetAsyncError(communicator, &state) != ncclSuccess || state != ncclInProgress) return state;
    }
  }
  void end() {
    ncclCommFinalize(communicator);
    settle();
    ncclCommDestroy(communicator);
  }
};

/// body(rank) on a thread and a device each.
template <class Body>
void on_ranks(int size, const Body& body) {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      Rank own(rank);
      own.begin(size, id);
      body(own);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace bev::fake_gpu
