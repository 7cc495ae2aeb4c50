#include "runtime/cuda/cuda_graph.h"

#include "runtime/cuda/check.h"

namespace bev::cuda {

namespace {

class CudaGraph final : public Graph {
 public:
  /// Takes the graph over.
  CudaGraph(cudaGraph_t graph, cudaStream_t stream) : graph_(graph) {
    try {
      size_t nodes = 0;
      check(cudaGraphGetNodes(graph_, nullptr, &nodes), "counting the launches of a graph");
      launches_ = static_cast<int64_t>(nodes);
      if (nodes == 0) return;
      check(cudaGraphInstantiate(&executable_, graph_, 0), "making a graph");
      check(cudaGraphUpload(executable_, stream), "uploading a graph");
    } catch (...) {
      release();
      throw;
    }
  }
  ~CudaGraph() override { release(); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void launch(const Stream& stream) override {
    if (executable_) check(cudaGraphLaunch(executable_, handle_of(stream)), "launching a graph");
  }
  int64_t launches() const override { return launches_; }

 private:
  void release() {
    if (executable_) cudaGraphExecDestroy(executable_);
    cudaGraphDestroy(graph_);
  }

  cudaGraph_t graph_;
  cudaGraphExec_t executable_ = nullptr;
  int64_t launches_ = 0;
};

}  // namespace

void begin_capture(cudaStream_t stream) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning to record a graph");
}

std::unique_ptr<Graph> end_capture(cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "recording a graph");
  return std::make_unique<CudaGraph>(graph, stream);
}

void abandon_capture(cudaStream_t stream) noexcept {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone) {
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream, &graph);
    if (graph) cudaGraphDestroy(graph);
  }
  cudaGetLastError();  // the next launch is not to blame
}

}  // namespace bev::cuda
