// What the pretended libraries end the process for. First of this program's tests: see last_words().
#include <cudnn.h>
#include <doctest/doctest.h>

#include <array>

#include "runtime/cuda/cudnn_graph.h"
#include "tests/fake_gpu/death.h"
#include "tests/fake_gpu/library_problems.h"

namespace bev::fake_gpu {

namespace {

template <class Body>
void dies(const char* of, const Body& body) {
  const std::string words = last_words(body);
  INFO(words);
  CHECK(words.find(of) != std::string::npos);
}

/// A convolution of its first plan, with everything where it should be.
struct Convolution {
  ConvolutionShape shape{.n = 2, .h = 8, .w = 8, .c = 4, .k = 8, .r = 3, .s = 3, .stride = 1, .padding = 1};
  cudaStream_t stream = new_stream();
  cudnnHandle_t handle = nullptr;
  std::vector<cuda::ConvolutionPlan> plans;
  std::array<int64_t, 3> ids = {cuda::tensor_x, cuda::tensor_w, cuda::tensor_y};
  std::array<void*, 3> data = {};
  void* workspace = nullptr;
  cuda::Descriptor pack{CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "arguments"};

  Convolution() {
    cudnnCreate(&handle);
    cudnnSetStream(handle, stream);
    plans = cuda::convolution_plans(ConvolutionDirection::forward, shape, 0, cuda::current_device());
    for (void*& memory : data) memory = on_device(std::vector<float>(4096, 1), stream);
    cudaMalloc(&workspace, size_t{16} << 20);
  }
  cudnnStatus_t run() {
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, ids.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, data.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    pack.finalize();
    return cudnnBackendExecute(handle, plans.at(0).plan.get(), pack.get());
  }
};

}  // namespace

TEST_CASE("misuse of cuBLASLt ends the process with a line") {
  std::vector<float> host(4096);
  dies("A (2048 bytes) is not within a living block", [&] {
    Product product;
    product.make();
    product.a = host.data();
    product.run();
  });
  dies("D is written over B", [] {
    Product product;
    product.make();
    product.d = product.b;
    product.run();
  });
  dies("A (2048 bytes) is not within", [] {  // of the other device
    Product product;
    product.make();
    cudaSetDevice(1);
    product.a = on_device(std::vector<float>(512), new_stream());
    cudaSetDevice(0);
    product.run();
  });
  dies("a handle of device 0 is used while device 1 is current", [] {
    Product product;
    product.make();
    cudaSetDevice(1);
    product.run();
  });
  dies("never made or is destroyed", [] {
    Product product;
    product.make();
    cublasLtMatrixLayoutDestroy(product.b_layout);
    product.run();
  });
  dies("an algorithm that was never offered", [] {
    Product product;
    product.make();
    const cublasLtMatmulAlgo_t made_up = {};
    product.run(&made_up);
  });
  dies("not aligned as the algorithm was promised", [] {
    Product product;
    product.make();
    product.k = 31;
    for (const auto& offer : product.offers()) {
      if (offer.state != CUBLAS_STATUS_SUCCESS) continue;
      cudaMalloc(&product.d, 4096);
      product.d = static_cast<float*>(product.d) + 1;
      product.run(&offer.algo);
    }
  });
}

TEST_CASE("misuse of cuDNN ends the process with a line") {
  std::vector<float> host(4096);
  dies("w (1152 bytes) is not within a living block", [&] {
    Convolution convolution;
    convolution.data[1] = host.data();
    convolution.run();
  });
  dies("is not aligned to 16 bytes", [] {
    Convolution convolution;
    convolution.data[0] = static_cast<float*>(convolution.data[0]) + 1;
    convolution.run();
  });
  dies("lies over", [] {
    Convolution convolution;
    convolution.data[2] = convolution.data[0];
    convolution.run();
  });
  dies("is finalised", [] {
    Convolution convolution;
    convolution.run();
    convolution.run();
  });
  dies("never made or is destroyed", [] {
    Convolution convolution;
    cudnnBackendExecute(convolution.handle, convolution.plans.at(0).plan.get(), nullptr);
  });
  dies("a plan for another device", [] {
    Convolution convolution;
    cudaSetDevice(1);
    convolution.plans =
        cuda::convolution_plans(ConvolutionDirection::forward, convolution.shape, 0, cuda::current_device());
    cudaSetDevice(0);
    convolution.run();
  });
}

TEST_CASE("misuse of NCCL ends the process with a line") {
  const auto sum = [](const Rank& own, size_t count) {
    return ncclAllReduce(own.memory, own.memory, count, ncclFloat, ncclSum, own.communicator, own.stream);
  };
  dies("still says in progress", [&] { on_ranks(2, [&](Rank& own) { sum(own, 64); }); });
  dies("of 63 of type 7", [&] {
    on_ranks(2, [&](Rank& own) {
      own.settle();
      sum(own, own.rank == 0 ? 64 : 63);
      own.settle();
      cudaStreamSynchronize(own.stream);
    });
  });
  dies("not as in-place operations may", [&] {
    on_ranks(1, [&](Rank& own) {
      own.settle();
      ncclAllReduce(own.memory, own.memory + 1, 8, ncclFloat, ncclSum, own.communicator, own.stream);
      own.settle();
    });
  });
  dies("not there any longer", [&] {
    on_ranks(1, [&](Rank& own) {
      ncclCommAbort(own.communicator);
      sum(own, 64);
    });
  });
  dies("the send buffer (512 bytes) is not within", [&] {
    on_ranks(1, [&](Rank& own) {
      own.settle();
      sum(own, 128);
      own.settle();
    });
  });
  dies("a stream of another device", [&] {
    on_ranks(1, [&](Rank& own) {
      own.settle();
      cudaSetDevice(1);
      own.stream = new_stream();
      sum(own, 64);
    });
  });
}

}  // namespace bev::fake_gpu
