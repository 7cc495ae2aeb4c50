// What nccl_communicator.cpp needs around its calls: checks, types, events, the version. CUDA builds only.
#pragma once

#include <cuda_runtime.h>
#include <nccl.h>

#include <chrono>
#include <string>

#include "kernels/stream.h"
#include "runtime/dtype.h"

namespace bev::nccl {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline void require(cudaError_t status, const char* what) {
  if (status != cudaSuccess) fail(ErrorKind::runtime, "{}: {}", what, cudaGetErrorString(status));
}

inline ncclDataType_t nccl_type(DType type) {
  switch (type) {
    case DType::f32:
      return ncclFloat32;
    case DType::f64:
      return ncclFloat64;
    case DType::bf16:
      return ncclBfloat16;
    case DType::u8:
      return ncclUint8;
    case DType::i32:
      return ncclInt32;
    case DType::i64:
      return ncclInt64;
  }
  fail(ErrorKind::runtime, "NCCL has no such element type");
}

inline std::string version_text() {
  int code = 0;
  if (ncclGetVersion(&code) != ncclSuccess) return "nccl";
  return fmt::format("nccl {}.{}.{}", code / 10000, code / 100 % 100, code % 100);  // the coding since 2.9
}

inline cudaStream_t handle_of(const Stream& stream) { return static_cast<cudaStream_t>(stream.handle); }

class GpuEvent {
 public:
  explicit GpuEvent(bool timed) {
    require(cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming), "making an event");
  }
  ~GpuEvent() { cudaEventDestroy(event_); }
  GpuEvent(const GpuEvent&) = delete;
  GpuEvent& operator=(const GpuEvent&) = delete;

  void record(cudaStream_t stream) { require(cudaEventRecord(event_, stream), "recording an event"); }
  void block(cudaStream_t stream) { require(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event"); }
  /// Or failed: an error ends the wait too. The calling thread's last error is as before.
  bool reached() const {
    if (cudaEventQuery(event_) != cudaErrorNotReady) return true;
    cudaGetLastError();
    return false;
  }
  double seconds_after(const GpuEvent& earlier) const {
    float milliseconds = 0;
    require(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "timing a collective");
    return 1e-3 * milliseconds;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace bev::nccl
