// Streams as threads, events as marks in them, and what a capture makes of both.
#pragma once

#include <cuda_runtime.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/fake_gpu/random.h"

namespace bev::fake_gpu {

struct Work {
  std::string name;
  std::function<void()> run;  // once, or once a launch where a graph holds it
};

/// That a stream has got somewhere.
class Mark {
 public:
  void reach();
  void wait();
  bool reached();
  std::chrono::steady_clock::time_point at();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  std::chrono::steady_clock::time_point at_;
};

struct Graph {
  struct Node {
    Work work;
    std::vector<size_t> after;  // earlier nodes
  };
  std::vector<Node> nodes;
};

/// One that is going on, from one stream, possibly over several.
struct Capture {
  cudaStream_t origin = nullptr;
  std::thread::id thread;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  Graph graph;
  bool spoiled = false;  // it gives no graph
};

class Stream {
 public:
  Stream(int device, uint64_t number);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Waits while as many launches are pending as a GPU's queue holds.
  void push(Work work);
  /// Whether all that was pushed so far is done.
  bool idle();
  /// Until that is so.
  void wait();
  /// Its thread ends once all is done.
  void close();
  /// The thread's.
  void run();

  const int device;
  // Of the host's side, under lock_calls():
  std::shared_ptr<Capture> capture;
  std::vector<size_t> tail;  // the nodes that the next one comes after

 private:
  void dawdle();

  std::mutex mutex_;
  std::condition_variable pushed_, done_;
  std::deque<Work> queue_;
  uint64_t count_pushed_ = 0, count_done_ = 0;
  bool closed_ = false;
  Random random_;
  int slowness_ = 0;
};

/// Held by whoever looks at, or changes, which streams, events and captures there are.
std::unique_lock<std::mutex> lock_calls();

/// Under that lock: the living stream. Misuse, by the name of `call`, where there is none, and for the default stream,
/// which would wait for nothing that this project's streams do.
std::shared_ptr<Stream> stream_at(cudaStream_t handle, const char* call);

/// Of every device: for calls that wait for all there is.
void wait_for_all_streams();

/// Runs work on the calling thread, which is a stream's.
void run_work(const Work& work);

/// Under the lock: adds a node to the capture of a stream.
void add_node(Stream& stream, Work work);

/// Under the lock: all its streams are ordinary ones again.
void end_capture(const std::shared_ptr<Capture>& capture);

/// For a call that is not permitted while the thread captures a graph: the error, and the capture is spoiled.
cudaError_t unsafe_in_capture(const char* call);

}  // namespace bev::fake_gpu
