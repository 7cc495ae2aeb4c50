#include "tests/fake_gpu/streams.h"

#include <map>

#include "tests/fake_gpu/fake_gpu.h"
#include "tests/fake_gpu/memory.h"
#include "tests/fake_gpu/settings.h"

namespace bev::fake_gpu {

namespace {

constexpr size_t queue_at_most = 1024;  // launches that a GPU takes before it makes the host wait

struct Calls {
  std::mutex mutex;
  std::map<cudaStream_t, std::shared_ptr<Stream>> streams;
  uintptr_t next = 0x5000;  // handles are never used again
  uint64_t made = 0;
};
Calls& calls() {
  static auto* const out = new Calls;
  return *out;
}

std::string text_of(cudaStream_t handle) { return std::to_string(reinterpret_cast<uintptr_t>(handle)); }

}  // namespace

void Mark::reach() {
  const std::lock_guard lock(mutex_);
  reached_ = true;
  at_ = std::chrono::steady_clock::now();
  changed_.notify_all();
}
void Mark::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return reached_; });
}
bool Mark::reached() {
  const std::lock_guard lock(mutex_);
  return reached_;
}
std::chrono::steady_clock::time_point Mark::at() {
  const std::lock_guard lock(mutex_);
  return at_;
}

Stream::Stream(int of_device, uint64_t number)
    : device(of_device), random_(settings().seed * 1000003 + number), slowness_(random_.below(3)) {}

void Stream::push(Work work) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return queue_.size() < queue_at_most; });
  queue_.push_back(std::move(work));
  ++count_pushed_;
  pushed_.notify_one();
}
bool Stream::idle() {
  const std::lock_guard lock(mutex_);
  return count_done_ == count_pushed_;
}
void Stream::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&, until = count_pushed_] { return count_done_ >= until; });
}
void Stream::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  pushed_.notify_one();
}

void Stream::run() {
  cudaSetDevice(device);
  for (;;) {
    Work work;
    {
      std::unique_lock lock(mutex_);
      pushed_.wait(lock, [&] { return closed_ || !queue_.empty(); });
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    dawdle();
    run_work(work);
    work.run = nullptr;  // what it held is free before anybody is told
    const std::lock_guard lock(mutex_);
    ++count_done_;
    done_.notify_all();
  }
}

/// Now and then, some streams more than others, so that work on streams that do not wait for each other meets in all
/// orders.
void Stream::dawdle() {
  if (settings().seed == 0) return;
  const int choice = random_.below(512);
  if (choice == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * slowness_));
  } else if (choice < 16 * slowness_) {
    std::this_thread::sleep_for(std::chrono::microseconds(20 + random_.below(200)));
  }
}

void run_work(const Work& work) {
  set_doing(&work.name);
  {
    const OpenMemory open;
    work.run();
  }
  set_doing(nullptr);
}

std::unique_lock<std::mutex> lock_calls() { return std::unique_lock(calls().mutex); }

std::shared_ptr<Stream> stream_at(cudaStream_t handle, const char* call) {
  if (!handle) misuse(std::string(call) + ": the default stream, which waits for none of the others");
  const auto found = calls().streams.find(handle);
  if (found == calls().streams.end()) misuse(std::string(call) + ": there is no stream " + text_of(handle) + " (any more)");
  return found->second;
}

void add_node(Stream& stream, Work work) {
  Graph& graph = stream.capture->graph;
  graph.nodes.push_back({std::move(work), stream.tail});
  stream.tail = {graph.nodes.size() - 1};
}

void end_capture(const std::shared_ptr<Capture>& capture) {
  for (const auto& [handle, stream] : calls().streams) {
    if (stream->capture == capture) stream->capture = nullptr;
  }
}

void enqueue(cudaStream_t handle, std::string name, std::function<void()> run) {
  auto lock = lock_calls();
  const auto stream = stream_at(handle, name.c_str());
  Work work{std::move(name), std::move(run)};
  if (stream->capture) return add_node(*stream, std::move(work));
  lock.unlock();
  stream->push(std::move(work));
}

int device_of(cudaStream_t stream, const char* call) {
  const auto lock = lock_calls();
  return stream_at(stream, call)->device;
}

bool is_captured(cudaStream_t stream) {
  const auto lock = lock_calls();
  return stream_at(stream, "asking for a capture")->capture != nullptr;
}

void wait_for_all_streams() {
  std::vector<std::shared_ptr<Stream>> all;
  {
    const auto lock = lock_calls();
    for (const auto& [handle, stream] : calls().streams) all.push_back(stream);
  }
  for (const auto& stream : all) stream->wait();
}

cudaError_t unsafe_in_capture(const char* call) {
  const auto lock = lock_calls();
  for (const auto& [handle, stream] : calls().streams) {
    const auto& capture = stream->capture;
    if (!capture || capture->thread != std::this_thread::get_id()) continue;
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    capture->spoiled = true;
    return answer(cudaErrorStreamCaptureUnsupported, call);
  }
  return cudaSuccess;
}

void refuse_in_capture(const char* call) {
  if (unsafe_in_capture(call) != cudaSuccess) misuse(std::string(call) + " while the thread captures a graph");
}

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

namespace {

cudaError_t make_stream(cudaStream_t* out, unsigned flags, const char* call) {
  if (flags != cudaStreamNonBlocking && flags != cudaStreamDefault) return answer(cudaErrorInvalidValue, call);
  if (const cudaError_t status = need_context(call)) return status;
  const auto lock = lock_calls();
  const auto stream = std::make_shared<Stream>(current_device(), calls().made++);
  std::thread([stream] { stream->run(); }).detach();
  *out = reinterpret_cast<cudaStream_t>(calls().next += 16);
  calls().streams[*out] = stream;
  count(Thing::stream, 1);
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return make_stream(stream, flags, "cudaStreamCreateWithFlags");
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return make_stream(stream, flags, "cudaStreamCreateWithPriority");
}
// What was launched still runs.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  const auto lock = lock_calls();
  const auto stream = stream_at(handle, "cudaStreamDestroy");
  if (stream->capture) misuse("cudaStreamDestroy of a stream that is being captured");
  stream->close();
  calls().streams.erase(handle);
  count(Thing::stream, -1);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  if (const cudaError_t status = unsafe_in_capture("cudaStreamQuery")) return status;
  if (const cudaError_t status = need_context("cudaStreamQuery")) return status;
  const auto lock = lock_calls();
  const auto stream = stream_at(handle, "cudaStreamQuery");
  if (stream->capture) {
    stream->capture->spoiled = true;
    return answer(cudaErrorStreamCaptureUnsupported, "cudaStreamQuery");
  }
  return answer(stream->idle() ? cudaSuccess : cudaErrorNotReady, "cudaStreamQuery");
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  if (const cudaError_t status = unsafe_in_capture("cudaStreamSynchronize")) return status;
  std::shared_ptr<Stream> stream;
  {
    const auto lock = lock_calls();
    stream = stream_at(handle, "cudaStreamSynchronize");
    if (stream->capture) {
      stream->capture->spoiled = true;
      return answer(cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize");
    }
  }
  stream->wait();
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  if (const cudaError_t status = unsafe_in_capture("cudaDeviceSynchronize")) return status;
  wait_for_all_streams();
  return cudaSuccess;
}

}  // extern "C"
