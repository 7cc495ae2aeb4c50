// Where work happens. A Stream is a small value that is passed to every kernel launch and library call; it owns
// nothing.
//   cpu   work is done at once, by the calling thread and its OpenMP team
//   cuda  work is enqueued on `handle` (a cudaStream_t) of device `ordinal`, which the calling thread has made current
//   dry   nothing is done: the step's allocations and the work it would do are recorded, which plans memory and counts
//   operations
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace bev {

enum class DeviceKind : uint8_t { cpu, cuda, dry };

/// What a step asks of the machine, summed over launches. Counted in dry runs only.
struct WorkTally {
  int64_t launches = 0;
  double matmul_flop = 0;       // 2 m n k for every product
  double convolution_flop = 0;  // 2 n p q k r s c for every convolution
  double bytes = 0;             // read and written by kernels
};

class LaunchObserver;

struct Stream {
  DeviceKind kind = DeviceKind::cpu;
  int ordinal = 0;
  void* handle = nullptr;
  WorkTally* tally = nullptr;          // not owned; may be null
  LaunchObserver* observer = nullptr;  // not owned; null: launches are told to nobody
};

/// One launch or library call, as an observer is told of it.
struct Launch {
  enum class Kind : uint8_t { kernel, product, convolution } kind = Kind::kernel;
  std::string name;  // of a kernel: its type, as the compiler mangles it; of a call: its shape
  double bytes = 0;  // that a kernel has to read and write
  double flop = 0;   // of a product or a convolution
};

/// Stands between launches and the stream that carries it: a profiler, or a recorder.
class LaunchObserver {
 public:
  virtual ~LaunchObserver() = default;
  /// To call `work(stream)`, now or later, once or often: it holds all that it needs but the memory that it works in.
  /// `stream` is the launch's own, without its observer.
  virtual void launch(const Stream& stream, const Launch& launch, const std::function<void(const Stream&)>& work) = 0;
};

/// Hands a launch to the observer that `stream` carries.
inline void observe(const Stream& stream, const Launch& launch, const std::function<void(const Stream&)>& work) {
  Stream own = stream;
  own.observer = nullptr;
  stream.observer->launch(own, launch, work);
}

}  // namespace bev
