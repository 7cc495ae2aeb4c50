// What the pretended libraries answer and compute.
#include <doctest/doctest.h>

#include <atomic>

#include "tests/fake_gpu/library_problems.h"
#include "tests/fake_gpu/products.h"

namespace bev::fake_gpu {

TEST_CASE("cuBLASLt offers algorithms of unlike needs, fewer where less is promised") {
  Product product;
  product.make();
  size_t works = 0, workspace = 0;
  for (const auto& offer : product.offers()) {
    if (offer.state != CUBLAS_STATUS_SUCCESS) continue;
    cublasLtMatmulHeuristicResult_t checked = {};
    const auto sound = cublasLtMatmulAlgoCheck(product.handle, product.operation, product.a_layout, product.b_layout,
                                               product.d_layout, product.d_layout, &offer.algo, &checked);
    const auto status = product.run(&offer.algo);
    if (sound != CUBLAS_STATUS_SUCCESS) CHECK(status != CUBLAS_STATUS_SUCCESS);
    if (status != CUBLAS_STATUS_SUCCESS) continue;
    ++works;
    workspace = std::max(workspace, offer.workspaceSize);
    CHECK(checked.workspaceSize == offer.workspaceSize);
    CHECK(on_host(static_cast<float*>(product.d), 128, product.stream) == std::vector<float>(128, 32));
    const size_t lent = std::exchange(product.workspace_bytes, 0);
    CHECK(product.run(&offer.algo) == (offer.workspaceSize > 0 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS));
    product.workspace_bytes = lent;
  }
  CHECK(works >= 3);
  CHECK(workspace > 0);
  size_t modest = 0;
  for (const auto& offer : product.offers(4)) modest += offer.state == CUBLAS_STATUS_SUCCESS;
  CHECK(modest == 3);  // but for those that need no more of the other matrices
}

TEST_CASE("cuBLASLt refuses products that contradict themselves, and types that go with no others") {
  Product narrow;
  narrow.make(15);  // a leading dimension below the rows
  CHECK(narrow.run() == CUBLAS_STATUS_INVALID_VALUE);
  Product turned;
  turned.make();
  const cublasOperation_t transposed = CUBLAS_OP_T;
  cublasLtMatmulDescSetAttribute(turned.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
  CHECK(turned.run() == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasLtMatmulDescSetAttribute(turned.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, 1) ==
        CUBLAS_STATUS_INVALID_VALUE);  // the real library says so
  Product wide{.compute = CUBLAS_COMPUTE_64F};
  wide.make();
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  wide.offers(256, &status);
  CHECK(status == CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_CASE("factors are rounded as the compute type says, and sums are not") {
  const float x = 1 + 0x1.8p-11F;  // nearest TF32: 1 + 2^-10; cut off: 1; bf16: 1
  CHECK(rounded(x, Rounding::tf32_nearest) == 1 + 0x1p-10F);
  CHECK(rounded(x, Rounding::tf32_truncated) == 1);
  CHECK(rounded(x, Rounding::bf16) == 1);
  CHECK(rounded(-1.01171875F, Rounding::bf16) == -1.015625F);  // 1 + 3/256: of two the even one
  const struct {
    cublasComputeType_t compute;
    std::vector<float> sums;  // that there may be
  } rows[] = {{CUBLAS_COMPUTE_32F, {32 * x}},
              {CUBLAS_COMPUTE_32F_FAST_TF32, {32 * (1 + 0x1p-10F), 32}},
              {CUBLAS_COMPUTE_32F_FAST_16BF, {32}}};
  for (const auto& row : rows) {
    Product product{.compute = row.compute};
    product.make();
    product.a = on_device(std::vector<float>(512, x), product.stream);
    std::vector<bool> seen(row.sums.size(), false);
    for (const auto& offer : product.offers()) {
      if (offer.state != CUBLAS_STATUS_SUCCESS || product.run(&offer.algo) != CUBLAS_STATUS_SUCCESS) continue;
      const float sum = on_host(static_cast<float*>(product.d), 1, product.stream)[0];
      const auto found = std::find(row.sums.begin(), row.sums.end(), sum);
      REQUIRE(found != row.sums.end());
      seen[static_cast<size_t>(found - row.sums.begin())] = true;
    }
    for (const bool one : seen) CHECK(one);
  }
}

TEST_CASE("collectives are in progress at first, and meet on the streams") {
  on_ranks(2, [](Rank& own) {
    CHECK(own.settle() == ncclSuccess);
    for (int round = 0; round < 5; ++round) {
      const auto status = ncclAllReduce(own.memory, own.memory, 64, ncclFloat, ncclSum, own.communicator, own.stream);
      CHECK((status == ncclInProgress || status == ncclSuccess));
      CHECK(own.settle() == ncclSuccess);
    }
    CHECK(on_host(own.memory, 64, own.stream) == std::vector<float>(64, 48));
    float* const own_half = own.memory + 32 * own.rank;
    ncclReduceScatter(own.memory, own_half, 32, ncclFloat, ncclMax, own.communicator, own.stream);
    CHECK(own.settle() == ncclSuccess);
    ncclAllGather(own_half, own.memory, 32, ncclFloat, own.communicator, own.stream);
    CHECK(own.settle() == ncclSuccess);
    ncclBroadcast(own.memory, own.memory, 64, ncclFloat, 1, own.communicator, own.stream);
    CHECK(own.settle() == ncclSuccess);
    CHECK(on_host(own.memory, 64, own.stream) == std::vector<float>(64, 48));
    own.end();
  });
}

TEST_CASE("a collective to which another rank does not come waits until it is aborted") {
  std::atomic<bool> waits = false;
  on_ranks(2, [&](Rank& own) {
    CHECK(own.settle() == ncclSuccess);
    if (own.rank == 0) {
      ncclAllReduce(own.memory, own.memory, 64, ncclFloat, ncclSum, own.communicator, own.stream);
      CHECK(own.settle() == ncclSuccess);  // it is on the stream
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      CHECK(cudaStreamQuery(own.stream) == cudaErrorNotReady);
      cudaGetLastError();
      waits = true;
    }
    while (!waits) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(ncclCommAbort(own.communicator) == ncclSuccess);
    CHECK(cudaStreamSynchronize(own.stream) == cudaSuccess);
  });
}

TEST_CASE("two ranks on one GPU are refused, and the others of the group wait") {
  ncclUniqueId id;
  ncclGetUniqueId(&id);
  Rank first(0), second(0);
  first.begin(2, id);
  second.rank = 1;
  cudaSetDevice(0);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclCommInitRankConfig(&second.communicator, 2, id, 1, &config);
  CHECK(first.settle() == ncclInvalidUsage);
  CHECK(second.settle() == ncclInvalidUsage);
  ncclCommAbort(first.communicator);
  ncclCommAbort(second.communicator);
}

}  // namespace bev::fake_gpu
