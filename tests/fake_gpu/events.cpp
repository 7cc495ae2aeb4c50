// Events. A record makes a new mark, which is put into the stream: whoever waits, waits for the mark that was last at
// the time of the call.
#include <map>

#include "tests/fake_gpu/fake_gpu.h"
#include "tests/fake_gpu/settings.h"
#include "tests/fake_gpu/streams.h"

namespace bev::fake_gpu {

namespace {

struct Event {
  int device = 0;
  bool timed = true;
  std::shared_ptr<Mark> mark;                        // null: never recorded
  std::shared_ptr<Capture> capture;                  // in which it was recorded last
  std::vector<size_t> nodes;                         // there
};

std::map<cudaEvent_t, Event>& events() {
  static auto* const out = new std::map<cudaEvent_t, Event>;
  return *out;
}

Event& event_at(cudaEvent_t handle, const char* call) {
  const auto found = events().find(handle);
  if (found == events().end()) misuse(std::string(call) + ": there is no such event (any more)");
  return found->second;
}

cudaError_t make_event(cudaEvent_t* out, unsigned flags, const char* call) {
  if (flags & ~(cudaEventBlockingSync | cudaEventDisableTiming)) return answer(cudaErrorInvalidValue, call);
  if (const cudaError_t status = need_context(call)) return status;
  const auto lock = lock_calls();
  static uintptr_t next = 0x7000;
  *out = reinterpret_cast<cudaEvent_t>(next += 16);
  events()[*out] = {.device = current_device(), .timed = (flags & cudaEventDisableTiming) == 0, .mark = nullptr,
                    .capture = nullptr, .nodes = {}};
  count(Thing::event, 1);
  return cudaSuccess;
}

/// The mark that a host call asks about; null where there is none.
cudaError_t ask(cudaEvent_t handle, const char* call, std::shared_ptr<Mark>& mark) {
  if (const cudaError_t status = unsafe_in_capture(call)) return status;
  const auto lock = lock_calls();
  const Event& event = event_at(handle, call);
  if (event.capture) {
    event.capture->spoiled = true;
    return answer(cudaErrorCapturedEvent, call);
  }
  mark = event.mark;
  return cudaSuccess;
}

}  // namespace

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

extern "C" {

cudaError_t cudaEventCreate(cudaEvent_t* event) { return make_event(event, cudaEventDefault, "cudaEventCreate"); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return make_event(event, flags, "cudaEventCreateWithFlags");
}
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  const auto lock = lock_calls();
  event_at(handle, "cudaEventDestroy");
  events().erase(handle);
  count(Thing::event, -1);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t to) {
  auto lock = lock_calls();
  const auto stream = stream_at(to, "cudaEventRecord");
  Event& event = event_at(handle, "cudaEventRecord");
  if (event.device != stream->device) return answer(cudaErrorInvalidResourceHandle, "cudaEventRecord");
  if (stream->capture) {
    event.capture = stream->capture;
    event.nodes = stream->tail;
    event.mark = nullptr;
    return cudaSuccess;
  }
  event.capture = nullptr;
  event.mark = std::make_shared<Mark>();
  Work work{"an event's record", [mark = event.mark] { mark->reach(); }};
  lock.unlock();
  stream->push(std::move(work));
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t to, cudaEvent_t handle, unsigned flags) {
  if (flags != 0) misuse("cudaStreamWaitEvent: flags that this one does not know");
  auto lock = lock_calls();
  const auto stream = stream_at(to, "cudaStreamWaitEvent");
  const Event& event = event_at(handle, "cudaStreamWaitEvent");
  if (event.capture) {
    if (!stream->capture) {  // joins
      stream->capture = event.capture;
      stream->tail.clear();
    } else if (stream->capture != event.capture) {
      stream->capture->spoiled = event.capture->spoiled = true;
      return answer(cudaErrorStreamCaptureMerge, "cudaStreamWaitEvent");
    }
    stream->tail.insert(stream->tail.end(), event.nodes.begin(), event.nodes.end());
    return cudaSuccess;
  }
  if (stream->capture) {
    if (!event.mark) return cudaSuccess;
    stream->capture->spoiled = true;
    return answer(cudaErrorStreamCaptureIsolation, "cudaStreamWaitEvent");
  }
  if (!event.mark) return cudaSuccess;
  Work work{"a wait for an event", [mark = event.mark] { mark->wait(); }};
  lock.unlock();
  stream->push(std::move(work));
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  if (const cudaError_t status = need_context("cudaEventQuery")) return status;
  std::shared_ptr<Mark> mark;
  if (const cudaError_t status = ask(handle, "cudaEventQuery", mark)) return status;
  return answer(!mark || mark->reached() ? cudaSuccess : cudaErrorNotReady, "cudaEventQuery");
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  std::shared_ptr<Mark> mark;
  if (const cudaError_t status = ask(handle, "cudaEventSynchronize", mark)) return status;
  if (mark) mark->wait();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  constexpr const char* call = "cudaEventElapsedTime";
  std::shared_ptr<Mark> begin, end;
  if (const cudaError_t status = ask(from, call, begin)) return status;
  if (const cudaError_t status = ask(to, call, end)) return status;
  {
    const auto lock = lock_calls();
    const Event &a = event_at(from, call), &b = event_at(to, call);
    if (!begin || !end || !a.timed || !b.timed || a.device != b.device) {
      return answer(cudaErrorInvalidResourceHandle, call);
    }
  }
  if (!begin->reached() || !end->reached()) return answer(cudaErrorNotReady, call);
  *milliseconds = std::chrono::duration<float, std::milli>(end->at() - begin->at()).count();
  return cudaSuccess;
}

}  // extern "C"
