// One device as the runtime sees it: memory, streams, events and copies. The CPU's body does everything at once on the
// calling thread; the CUDA body (runtime/cuda/) enqueues. A Replica owns one Device; not thread-safe, except where
// said.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/stream.h"
#include "runtime/convolution.h"
#include "runtime/matmul.h"

namespace bev {

/// A point in a stream's work. On the CPU always in the past.
class Event {
 public:
  virtual ~Event() = default;
  /// The point after all work that is now on `stream`.
  virtual void record(const Stream& stream) = 0;
  /// Work put on `stream` from here on starts only after the recorded point.
  virtual void block(const Stream& stream) = 0;
  /// Waits on the host. Throws Error if the device reports a failure.
  virtual void synchronize() = 0;
  virtual bool reached() = 0;
};

/// How long work on a stream takes, without the host waiting while it is enqueued. On a GPU the time of a launch of a
/// few microseconds holds as much again for the marks around it.
class Timer {
 public:
  virtual ~Timer() = default;
  /// The points in the stream's work between which time is taken.
  virtual void start(const Stream& stream) = 0;
  virtual void stop(const Stream& stream) = 0;
  /// Waits until the second point is reached. Throws Error if the device reports a failure.
  virtual double seconds() = 0;
};

/// A stretch of a stream's work that was recorded instead of done: the same launches with the same arguments, started
/// all at once.
class Graph {
 public:
  virtual ~Graph() = default;
  /// Puts all of it on `stream`, the one that it was recorded on.
  virtual void launch(const Stream& stream) = 0;
  /// Kernels, copies and what libraries launch.
  virtual int64_t launches() const = 0;
};

struct MemoryInfo {
  size_t total = 0, free = 0;  // bytes
};

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceKind kind() const = 0;
  virtual int ordinal() const = 0;
  /// "cpu" or "cuda:0", as users write it.
  virtual std::string text() const = 0;
  /// Makes the device current for the calling thread: once at the start of every thread that uses it.
  virtual void make_current() = 0;
  virtual MemoryInfo memory() = 0;

  /// A stream that lives as long as the device.
  virtual Stream make_stream() = 0;
  virtual std::unique_ptr<Event> make_event() = 0;
  virtual std::unique_ptr<Timer> make_timer() = 0;

  /// Whether work on streams can be recorded. What follows is only to be called where it can.
  virtual bool has_graphs() const { return false; }
  /// From here on what this thread puts on `stream` is recorded and not done; it may neither wait for the device nor
  /// allocate.
  virtual void begin_graph(const Stream&) { throw std::logic_error(text() + " has no graphs"); }
  /// What was recorded. Throws Error if some of it cannot be part of a graph.
  virtual std::unique_ptr<Graph> end_graph(const Stream&) { return nullptr; }
  /// Forgets what is being recorded, if anything is.
  virtual void abandon_graph(const Stream&) noexcept {}

  /// Device memory, 256-byte aligned, released with the last handle. Only before the first step: see the design's rule
  /// on allocation. Throws Error saying how much was asked for and how much is free.
  virtual std::shared_ptr<void> allocate(size_t bytes) = 0;
  /// Host memory that copies to and from the device run asynchronously from (pinned where that means something).
  virtual std::shared_ptr<void> allocate_staging(size_t bytes) = 0;

  /// Copies between host and device, either way, or within the device; ordered on `stream`. Host memory must be
  /// staging memory to be asynchronous.
  virtual void copy(const Stream& stream, void* to, const void* from, size_t bytes) = 0;
  virtual void zero(const Stream& stream, void* memory, size_t bytes) = 0;
  /// Waits on the host until all work on `stream` is done. Throws Error if the device reports a failure.
  virtual void synchronize(const Stream& stream) = 0;

  virtual std::unique_ptr<MatmulEngine> make_matmul(const Stream& stream) = 0;
  virtual std::unique_ptr<ConvolutionEngine> make_convolution(const Stream& stream) = 0;
};

/// `precision` is that of float products.
std::unique_ptr<Device> make_cpu_device(Precision precision = Precision::fp32);

struct CudaOptions {
  Precision precision = Precision::tf32;
  std::string cache_directory;  // of autotuned algorithms; empty: not kept
};
/// Throws Error if there is no such GPU, listing those that there are, or saying why there are none.
std::unique_ptr<Device> make_cuda_device(int ordinal, const CudaOptions& options);

struct CudaSurvey {
  int count = 0;
  std::string reason;  // why there is none: "built without CUDA", "no driver (CUDA error 35)", "no device"; else empty
};
/// How many usable GPUs there are. Never throws; in a program built without CUDA the answer is none.
CudaSurvey survey_cuda();

}  // namespace bev
