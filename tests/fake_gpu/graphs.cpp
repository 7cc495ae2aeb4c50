// Captures and the graphs that they give. A graph's nodes run one after the other, in an order that is another one at
// each launch as far as their dependencies leave a choice.
#include <algorithm>
#include <map>

#include "tests/fake_gpu/fake_gpu.h"
#include "tests/fake_gpu/settings.h"
#include "tests/fake_gpu/memory.h"
#include "tests/fake_gpu/streams.h"

namespace bev::fake_gpu {

namespace {

struct Executable {
  int device = 0;
  std::shared_ptr<const Graph> graph;
};
struct Handles {
  std::map<cudaGraph_t, std::shared_ptr<const Graph>> graphs;
  std::map<cudaGraphExec_t, Executable> executables;
  uintptr_t next = 0x9000;
};
Handles& handles() {
  static auto* const out = new Handles;
  return *out;
}

template <class Map>
typename Map::mapped_type& at(Map& map, typename Map::key_type handle, const char* call) {
  const auto found = map.find(handle);
  if (found == map.end()) misuse(std::string(call) + ": there is no such graph (any more)");
  return found->second;
}

void run_graph(const Graph& graph, uint64_t seed) {
  Random random(seed);
  std::vector<size_t> waits(graph.nodes.size()), ready;
  std::vector<std::vector<size_t>> before(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    waits[i] = graph.nodes[i].after.size();
    for (const size_t other : graph.nodes[i].after) before[other].push_back(i);
    if (waits[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    std::swap(ready[static_cast<size_t>(random.below(static_cast<int>(ready.size())))], ready.back());
    const size_t node = ready.back();
    ready.pop_back();
    set_doing(&graph.nodes[node].work.name);
    graph.nodes[node].work.run();
    for (const size_t next : before[node]) {
      if (--waits[next] == 0) ready.push_back(next);
    }
  }
}

/// The streams of a capture that have nodes that the origin does not wait for.
bool joined(const Capture& capture, const Stream& origin) {
  std::vector<char> reached(capture.graph.nodes.size(), 0);
  std::vector<size_t> open = origin.tail;
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    if (std::exchange(reached[node], 1)) continue;
    const auto& after = capture.graph.nodes[node].after;
    open.insert(open.end(), after.begin(), after.end());
  }
  return std::all_of(reached.begin(), reached.end(), [](char one) { return one != 0; });
}

}  // namespace

}  // namespace bev::fake_gpu

using namespace bev::fake_gpu;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  const auto lock = lock_calls();
  const auto stream = stream_at(handle, "cudaStreamBeginCapture");
  if (stream->capture) return answer(cudaErrorIllegalState, "cudaStreamBeginCapture");
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = handle;
  stream->capture->thread = std::this_thread::get_id();
  stream->capture->mode = mode;
  stream->tail.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const auto lock = lock_calls();
  const auto stream = stream_at(handle, "cudaStreamIsCapturing");
  *status = !stream->capture            ? cudaStreamCaptureStatusNone
            : stream->capture->spoiled ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* out) {
  constexpr const char* call = "cudaStreamEndCapture";
  const auto lock = lock_calls();
  *out = nullptr;
  const auto stream = stream_at(handle, call);
  const auto capture = stream->capture;
  if (!capture) return answer(cudaErrorIllegalState, call);
  if (capture->origin != handle) {
    capture->spoiled = true;
    return answer(cudaErrorStreamCaptureUnmatched, call);
  }
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
    return answer(cudaErrorStreamCaptureWrongThread, call);
  }
  const bool all_joined = joined(*capture, *stream);
  end_capture(capture);
  if (capture->spoiled) return answer(cudaErrorStreamCaptureInvalidated, call);
  if (!all_joined) return answer(cudaErrorStreamCaptureUnjoined, call);
  *out = reinterpret_cast<cudaGraph_t>(handles().next += 16);
  handles().graphs[*out] = std::make_shared<const Graph>(std::move(capture->graph));
  count(Thing::graph, 1);
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, size_t* count) {
  const auto lock = lock_calls();
  if (nodes) misuse("cudaGraphGetNodes: this one only counts them");
  *count = at(handles().graphs, handle, "cudaGraphGetNodes")->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t handle, unsigned long long flags) {
  if (flags != 0) misuse("cudaGraphInstantiate: flags that this one does not know");
  if (const cudaError_t status = need_context("cudaGraphInstantiate")) return status;
  const auto lock = lock_calls();
  const auto graph = at(handles().graphs, handle, "cudaGraphInstantiate");
  *out = reinterpret_cast<cudaGraphExec_t>(handles().next += 16);
  handles().executables[*out] = {current_device(), graph};
  count(Thing::graph, 1);
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t to) {
  const auto lock = lock_calls();
  at(handles().executables, handle, "cudaGraphUpload");
  stream_at(to, "cudaGraphUpload");
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t to) {
  static uint64_t launches = settings().seed;
  std::shared_ptr<const Graph> graph;
  uint64_t seed = 0;
  {
    const auto lock = lock_calls();
    const Executable& executable = at(handles().executables, handle, "cudaGraphLaunch");
    if (stream_at(to, "cudaGraphLaunch")->device != executable.device) misuse("cudaGraphLaunch on another device");
    if (stream_at(to, "cudaGraphLaunch")->capture) misuse("cudaGraphLaunch into a capture");
    graph = executable.graph;
    seed = launches++;
  }
  enqueue(to, "a graph", [graph, seed] { run_graph(*graph, seed); });
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  const auto lock = lock_calls();
  at(handles().executables, handle, "cudaGraphExecDestroy");
  handles().executables.erase(handle);
  count(Thing::graph, -1);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  const auto lock = lock_calls();
  at(handles().graphs, handle, "cudaGraphDestroy");
  handles().graphs.erase(handle);
  count(Thing::graph, -1);
  return cudaSuccess;
}

}  // extern "C"
