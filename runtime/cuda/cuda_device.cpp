// A GPU as a Device. Streams do not wait for the legacy default stream, events do not record times, host memory for
// copies is pinned. Whether there is a GPU at all is asked without assuming a driver.
#include <cuda_runtime.h>

#include <string>
#include <vector>

#include "runtime/cuda/check.h"
#include "runtime/cuda/cuda_graph.h"
#include "runtime/device.h"

namespace bev {

namespace {

using cuda::check;
using cuda::handle_of;

class CudaEvent : public Event {
 public:
  CudaEvent() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event"); }
  ~CudaEvent() override { cudaEventDestroy(event_); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  void record(const Stream& stream) override {
    check(cudaEventRecord(event_, handle_of(stream)), "recording an event");
  }
  void block(const Stream& stream) override {
    check(cudaStreamWaitEvent(handle_of(stream), event_, 0), "making a stream wait for an event");
  }
  void synchronize() override { check(cudaEventSynchronize(event_), "waiting for an event"); }
  bool reached() override {
    const cudaError_t status = cudaEventQuery(event_);
    if (status != cudaErrorNotReady) {
      check(status, "asking whether an event was reached");
      return true;
    }
    cudaGetLastError();  // "not ready" is kept like an error, and the next launch would be blamed for it
    return false;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaTimer : public Timer {
 public:
  CudaTimer() {
    check(cudaEventCreate(&start_), "creating an event");
    check(cudaEventCreate(&stop_), "creating an event");
  }
  ~CudaTimer() override {
    cudaEventDestroy(start_);
    cudaEventDestroy(stop_);
  }
  CudaTimer(const CudaTimer&) = delete;
  CudaTimer& operator=(const CudaTimer&) = delete;

  void start(const Stream& stream) override { check(cudaEventRecord(start_, handle_of(stream)), "timing"); }
  void stop(const Stream& stream) override { check(cudaEventRecord(stop_, handle_of(stream)), "timing"); }
  double seconds() override {
    check(cudaEventSynchronize(stop_), "timing");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start_, stop_), "timing");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

class CudaDevice : public Device {
 public:
  CudaDevice(int ordinal, CudaOptions options) : ordinal_(ordinal), options_(std::move(options)) {
    make_current();
    check(cudaGetDeviceProperties(&properties_, ordinal), "reading the properties of " + text());
    if (properties_.major < 8) {
      fail(ErrorKind::usage, "{} is a {} of compute capability {}.{}: expected 8.0 or newer", text(), properties_.name,
           properties_.major, properties_.minor);
    }
  }
  ~CudaDevice() override {
    cudaSetDevice(ordinal_);
    for (cudaStream_t stream : streams_) cudaStreamDestroy(stream);
  }

  DeviceKind kind() const override { return DeviceKind::cuda; }
  int ordinal() const override { return ordinal_; }
  std::string text() const override { return "cuda:" + std::to_string(ordinal_); }
  void make_current() override { check(cudaSetDevice(ordinal_), "making " + text() + " current"); }

  MemoryInfo memory() override {
    MemoryInfo info;
    check(cudaMemGetInfo(&info.free, &info.total), "asking " + text() + " for its free memory");
    return info;
  }

  Stream make_stream() override {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream on " + text());
    streams_.push_back(stream);
    return {.kind = DeviceKind::cuda, .ordinal = ordinal_, .handle = stream};
  }
  std::unique_ptr<Event> make_event() override { return std::make_unique<CudaEvent>(); }
  std::unique_ptr<Timer> make_timer() override { return std::make_unique<CudaTimer>(); }

  bool has_graphs() const override { return true; }
  void begin_graph(const Stream& stream) override { cuda::begin_capture(handle_of(stream)); }
  std::unique_ptr<Graph> end_graph(const Stream& stream) override { return cuda::end_capture(handle_of(stream)); }
  void abandon_graph(const Stream& stream) noexcept override { cuda::abandon_capture(handle_of(stream)); }

  std::shared_ptr<void> allocate(size_t bytes) override {
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // not sticky: the next call should not report it
      const MemoryInfo info = this->memory();
      fail(ErrorKind::runtime, "{}: {:.1f} MiB of memory were asked for, and {:.1f} of {:.1f} MiB are free", text(),
           mebibytes(bytes), mebibytes(info.free), mebibytes(info.total));
    }
    check(status, "allocating on " + text());
    return {memory, [ordinal = ordinal_](void* block) {
              cudaSetDevice(ordinal);
              cudaFree(block);
            }};
  }
  std::shared_ptr<void> allocate_staging(size_t bytes) override {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, bytes), fmt::format("allocating {:.1f} MiB of pinned host memory", mebibytes(bytes)));
    return {memory, [](void* block) { cudaFreeHost(block); }};
  }

  void copy(const Stream& stream, void* to, const void* from, size_t bytes) override {
    if (stream.kind == DeviceKind::dry) return;
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, handle_of(stream)), "copying on " + text());
  }
  void zero(const Stream& stream, void* memory, size_t bytes) override {
    if (stream.kind == DeviceKind::dry) return;
    check(cudaMemsetAsync(memory, 0, bytes, handle_of(stream)), "zeroing on " + text());
  }
  void synchronize(const Stream& stream) override {
    check(cudaStreamSynchronize(handle_of(stream)), "waiting for " + text());
  }

  std::unique_ptr<MatmulEngine> make_matmul(const Stream& stream) override {
    return make_cuda_matmul(stream, options_.precision, options_.cache_directory);
  }
  std::unique_ptr<ConvolutionEngine> make_convolution(const Stream& stream) override {
    return make_cuda_convolution(stream, options_.precision, options_.cache_directory);
  }

 private:
  static double mebibytes(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

  int ordinal_;
  CudaOptions options_;
  cudaDeviceProp properties_ = {};
  std::vector<cudaStream_t> streams_;
};

/// "0: NVIDIA H200, 1: ..." for messages.
std::string list_of_devices(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties = {};
    const bool known = cudaGetDeviceProperties(&properties, i) == cudaSuccess;
    out += fmt::format("{}{}: {}", i ? ", " : "", i, known ? properties.name : "unknown");
  }
  return out;
}

}  // namespace

CudaSurvey survey_cuda() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return {.count = count, .reason = count > 0 ? "" : "no device"};
  cudaGetLastError();
  const char* reason = status == cudaErrorInsufficientDriver ? "no driver, or one older than this CUDA"
                       : status == cudaErrorStubLibrary      ? "libcuda is the stub that is only for linking"
                       : status == cudaErrorNoDevice         ? "no device"
                                                             : cudaGetErrorString(status);
  return {.count = 0, .reason = fmt::format("{} (CUDA error {})", reason, static_cast<int>(status))};
}

std::unique_ptr<Device> make_cuda_device(int ordinal, const CudaOptions& options) {
  const CudaSurvey survey = survey_cuda();
  if (survey.count == 0) {
    fail(ErrorKind::usage, "cuda:{} was asked for, but there is no usable GPU: {}; --device cpu trains without",
         ordinal, survey.reason);
  }
  if (ordinal < 0 || ordinal >= survey.count) {
    fail(ErrorKind::usage, "cuda:{} was asked for; there are {}", ordinal, list_of_devices(survey.count));
  }
  return std::make_unique<CudaDevice>(ordinal, options);
}

}  // namespace bev
