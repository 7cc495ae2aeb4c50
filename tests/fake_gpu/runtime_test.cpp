// Streams, events, memory and captures: what is allowed works, what is missing shows, what is forbidden is refused.
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/fake_gpu/death.h"
#include "tests/fake_gpu/fake_gpu.h"

namespace bev::fake_gpu {

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

cudaStream_t new_stream() {
  cudaStream_t out = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&out, cudaStreamNonBlocking) == cudaSuccess);
  return out;
}
cudaEvent_t new_event() {
  cudaEvent_t out = nullptr;
  REQUIRE(cudaEventCreate(&out) == cudaSuccess);
  return out;
}
template <class T>
T* new_memory(size_t count) {
  void* out = nullptr;
  REQUIRE(cudaMalloc(&out, count * sizeof(T)) == cudaSuccess);
  return static_cast<T*>(out);
}
void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

/// How often a second stream read what the first had not written yet.
int too_early(bool waits) {
  const cudaStream_t first = new_stream(), second = new_stream();
  const cudaEvent_t event = new_event();
  int value = 0, wrong = 0;
  for (int round = 1; round <= 100; ++round) {
    enqueue(first, "write", [&value, round] {
      if (round % 10 == 0) pause();
      value = round;
    });
    cudaEventRecord(event, first);
    if (waits) cudaStreamWaitEvent(second, event, 0);
    enqueue(second, "read", [&value, &wrong, round] { wrong += value != round; });
    cudaStreamSynchronize(second);
    cudaStreamSynchronize(first);
  }
  cudaEventDestroy(event);
  cudaStreamDestroy(first);
  cudaStreamDestroy(second);
  return wrong;
}

}  // namespace

// Before anything else here makes threads: see last_words().
TEST_CASE("misuse ends the process with a line") {
  const auto dies = [](const char* of, const auto& body) { CHECK(contains(last_words(body), of)); };
  dies("there is no stream", [] {
    const cudaStream_t stream = new_stream();
    cudaStreamDestroy(stream);
    cudaStreamSynchronize(stream);
  });
  dies("default stream", [] { cudaStreamSynchronize(nullptr); });
  dies("no such event", [] {
    const cudaEvent_t event = new_event();
    cudaEventDestroy(event);
    cudaEventQuery(event);
  });
  dies("cudaFree of", [] {
    int* const memory = new_memory<int>(4);
    cudaFree(memory);
    cudaFree(memory);
  });
  dies("freed: ", [] {
    int* const memory = new_memory<int>(4);
    cudaFree(memory);
    *static_cast<volatile int*>(memory) = 1;
  });
  dies("1024 bytes into memory of GPU 0 of 1024 bytes", [] {
    char* const memory = new_memory<char>(1024);
    const cudaStream_t stream = new_stream();
    enqueue(stream, "an overrun", [memory] { static_cast<volatile char*>(memory)[1024] = 1; });
    cudaStreamSynchronize(stream);
  });
  dies("cudaMemcpyAsync of 32 bytes", [] {
    char* const memory = new_memory<char>(16);
    char host[32] = {};
    cudaMemcpyAsync(memory, host, 32, cudaMemcpyDefault, new_stream());
  });
  dies("host code touches", [] {
    setenv("FAKE_GPU_GUARD", "1", 1);
    *static_cast<volatile int*>(new_memory<int>(4)) = 1;
  });
  dies("not pinned, into a graph", [] {
    const cudaStream_t stream = new_stream();
    int* const memory = new_memory<int>(1);
    int host = 0;
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    cudaMemcpyAsync(memory, &host, sizeof host, cudaMemcpyDefault, stream);
  });
}

TEST_CASE("a wait for an event orders two streams, and a missing one is seen") {
  CHECK(too_early(true) == 0);
  CHECK(too_early(false) > 0);
}

TEST_CASE("fresh memory is full of NaN, and copies arrive") {
  const cudaStream_t stream = new_stream();
  float* const memory = new_memory<float>(1000);
  std::vector<float> host(1000);
  REQUIRE(cudaMemcpyAsync(host.data(), memory, 4000, cudaMemcpyDefault, stream) == cudaSuccess);
  for (const float x : host) CHECK(x != x);  // the copy is done when the call returns, since this memory is not pinned
  std::vector<float> ones(1000, 1);
  cudaMemcpyAsync(memory, ones.data(), 4000, cudaMemcpyDefault, stream);
  cudaMemsetAsync(memory, 0, 2000, stream);
  cudaMemcpyAsync(host.data(), memory, 4000, cudaMemcpyDeviceToHost, stream);
  CHECK(host[499] == 0);
  CHECK(host[500] == 1);
  CHECK(cudaMemcpyAsync(host.data(), memory, 4000, cudaMemcpyHostToDevice, stream) == cudaErrorInvalidValue);
  cudaGetLastError();
  cudaFree(memory);
  cudaStreamDestroy(stream);
}

TEST_CASE("memory that is not pinned is read late") {
  const cudaStream_t stream = new_stream();
  int* const memory = new_memory<int>(1);
  int source = 1, back = 0;
  enqueue(stream, "something long", pause);
  cudaMemcpyAsync(memory, &source, sizeof source, cudaMemcpyDefault, stream);
  source = 2;
  cudaMemcpyAsync(&back, memory, sizeof back, cudaMemcpyDefault, stream);
  CHECK(back == 2);
  cudaFree(memory);
  cudaStreamDestroy(stream);
}

TEST_CASE("a GPU has as much memory as it has, and takes back what is freed") {
  size_t free = 0, total = 0, later = 0;
  cudaMemGetInfo(&free, &total);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, free + 1) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  REQUIRE(cudaMalloc(&memory, free) == cudaSuccess);
  cudaMemGetInfo(&later, &total);
  CHECK(later == 0);
  CHECK(is_device_memory(memory, free));
  CHECK_FALSE(is_device_memory(memory, free + 1));
  cudaSetDevice(1);
  CHECK_FALSE(is_device_memory(memory, 1));
  cudaSetDevice(0);
  cudaFree(memory);
  cudaMemGetInfo(&later, &total);
  CHECK(later == free);
  CHECK_FALSE(is_device_memory(&free, 1));
  REQUIRE(cudaMallocHost(&memory, 16) == cudaSuccess);
  CHECK(is_device_memory(memory, 16));
  cudaFreeHost(memory);
}

TEST_CASE("what is not done yet says so, and keeps it as an error") {
  const cudaStream_t stream = new_stream();
  const cudaEvent_t event = new_event(), start = new_event();
  CHECK(cudaEventQuery(event) == cudaSuccess);
  cudaEventRecord(start, stream);
  enqueue(stream, "something long", [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); });
  cudaEventRecord(event, stream);
  float milliseconds = 0;
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  CHECK(cudaEventElapsedTime(&milliseconds, start, event) == cudaErrorNotReady);
  CHECK(cudaGetLastError() == cudaErrorNotReady);
  cudaEventSynchronize(event);
  CHECK(cudaEventElapsedTime(&milliseconds, start, event) == cudaSuccess);
  CHECK(milliseconds >= 50);
  cudaSetDevice(1);
  const cudaEvent_t elsewhere = new_event();
  cudaSetDevice(0);
  CHECK(cudaEventRecord(elsewhere, stream) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

TEST_CASE("a capture runs nothing until its graph is launched, over two streams") {
  const cudaStream_t stream = new_stream(), side = new_stream();
  const cudaEvent_t fork = new_event(), join = new_event();
  int runs = 0;
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  enqueue(stream, "one", [&] { runs += 1; });
  cudaEventRecord(fork, stream);
  cudaStreamWaitEvent(side, fork, 0);
  enqueue(side, "two", [&] { runs += 10; });
  cudaEventRecord(join, side);
  CHECK(cudaEventQuery(join) == cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  cudaStreamWaitEvent(stream, join, 0);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);  // by the question

  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  enqueue(stream, "one", [&] { runs += 1; });
  cudaEventRecord(fork, stream);
  cudaStreamWaitEvent(side, fork, 0);
  enqueue(side, "two", [&] { runs += 10; });
  cudaEventRecord(join, side);
  cudaStreamWaitEvent(stream, join, 0);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  size_t nodes = 0;
  cudaGraphGetNodes(graph, nullptr, &nodes);
  CHECK(nodes == 2);
  cudaGraphExec_t executable = nullptr;
  REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
  cudaStreamSynchronize(stream);
  CHECK(runs == 0);
  cudaGraphLaunch(executable, stream);
  cudaGraphLaunch(executable, stream);
  cudaStreamSynchronize(stream);
  CHECK(runs == 22);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaGetLastError();
}

TEST_CASE("what no graph can hold spoils a capture") {
  const cudaStream_t stream = new_stream(), side = new_stream();
  const cudaEvent_t event = new_event();
  const auto ends = [&](const auto& body) {
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    body();
    cudaGraph_t graph = nullptr;
    const cudaError_t out = cudaStreamEndCapture(stream, &graph);
    CHECK((graph != nullptr) == (out == cudaSuccess));
    cudaGetLastError();
    return out;
  };
  void* memory = nullptr;
  CHECK(ends([] {}) == cudaSuccess);
  CHECK(ends([&] { CHECK(cudaMalloc(&memory, 16) == cudaErrorStreamCaptureUnsupported); }) ==
        cudaErrorStreamCaptureInvalidated);
  CHECK(ends([&] { CHECK(cudaStreamSynchronize(side) != cudaSuccess); }) == cudaErrorStreamCaptureInvalidated);
  cudaEventRecord(event, side);
  CHECK(ends([&] { CHECK(cudaStreamWaitEvent(stream, event, 0) == cudaErrorStreamCaptureIsolation); }) ==
        cudaErrorStreamCaptureInvalidated);
  CHECK(ends([&] {
          cudaEventRecord(event, stream);
          cudaStreamWaitEvent(side, event, 0);
          enqueue(side, "left behind", [] {});
        }) == cudaErrorStreamCaptureUnjoined);
  CHECK(ends([&] {  // another thread may do as it likes
          std::thread([&] { CHECK(cudaMalloc(&memory, 16) == cudaSuccess); }).join();
        }) == cudaSuccess);
  CHECK(cudaStreamSynchronize(side) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
}

}  // namespace bev::fake_gpu
