// What a piece of a step puts on a replica's stream, recorded once and repeated: as graphs (runtime/device.h) and,
// between them, in their place, the calls that no graph can hold, such as collectives, which several replicas have to
// meet in. Whatever the host decides while it is recorded, and every address, stays as it was; whatever kernels read
// from device memory may change. Not thread-safe: one recorder a replica.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "runtime/device.h"
#include "runtime/distributed/communicator.h"

namespace bev {

/// A recording. Goes before the device that it was made on.
class Program {
 public:
  /// Puts all of it on the stream that it was recorded on.
  void repeat(const Stream& stream) const;
  int64_t graphs() const;
  /// Kernels, copies and library calls' launches in all graphs together.
  int64_t launches() const;

 private:
  friend class Recorder;
  struct Piece {  // one of the two
    std::unique_ptr<Graph> graph;
    std::function<void()> call;
  };
  std::vector<Piece> pieces_;
};

class Recorder {
 public:
  /// `device` outlives the recorder. `stream` is the one whose work is recorded.
  Recorder(Device& device, const Stream& stream) : device_(device), stream_(stream) {}
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// What `work` puts on the stream, of which nothing is done. Throws what `work` throws, and Error if it did what no
  /// graph can hold. Only where the device has graphs.
  Program record(const std::function<void()>& work);
  bool recording() const { return program_ != nullptr; }

  /// Calls `call`; while a program is recorded, in its place in every repetition instead.
  void in_place(std::function<void()> call);
  /// A communicator whose collectives are recorded so. Where it reaches one replica alone they are no calls: nothing,
  /// or a copy. `inner` is called by nobody else while a program is recorded.
  std::shared_ptr<Communicator> in_place(std::shared_ptr<Communicator> inner);

  Device& device() const { return device_; }
  const Stream& stream() const { return stream_; }

 private:
  void close();

  Device& device_;
  const Stream stream_;
  Program* program_ = nullptr;  // that is being recorded
};

}  // namespace bev
