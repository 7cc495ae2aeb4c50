// Convolutions by cuDNN's graph API. The plan for a shape is the fastest of those that suit the precision, timed on
// scratch memory when the shape first occurs (in the warm-up step, before any collective) or read from the cache.
#include <cudnn.h>

#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "runtime/autotune_cache.h"
#include "runtime/cpu/admit.h"
#include "runtime/cuda/check.h"
#include "runtime/cuda/cudnn_graph.h"
#include "runtime/cuda/stopwatch.h"
#include "runtime/tally.h"

namespace bev {

namespace {

using namespace cuda;

// Less keeps layers off the tensor cores: sm_80's TF32 kernels read copies of their inputs that lie in the workspace.
constexpr int64_t workspace_at_most = int64_t{1} << 30;

class CudaConvolution : public ConvolutionEngine {
 public:
  CudaConvolution(const Stream& stream, Precision precision, const std::string& cache_directory)
      : precision_(precision), device_(current_device()), cache_(cache_path(stream, precision, cache_directory)) {
    check(cudnnCreate(&handle_), "creating a cuDNN handle");
  }
  ~CudaConvolution() override {
    if (workspace_) cudaFree(workspace_);
    cudnnDestroy(handle_);
  }

  void forward(const Stream& stream, DType type, const ConvolutionShape& shape, const void* x, const void* w,
               void* y) override {
    run(stream, type, {ConvolutionDirection::forward, shape, false}, const_cast<void*>(x), const_cast<void*>(w), y);
  }
  void backward_data(const Stream& stream, DType type, const ConvolutionShape& shape, const void* d_y, const void* w,
                     void* d_x, double beta) override {
    run(stream, type, {ConvolutionDirection::backward_data, shape, beta != 0}, d_x, const_cast<void*>(w),
        const_cast<void*>(d_y));
  }
  void backward_filter(const Stream& stream, DType type, const ConvolutionShape& shape, const void* x, const void* d_y,
                       void* d_w, double beta) override {
    run(stream, type, {ConvolutionDirection::backward_filter, shape, beta != 0}, const_cast<void*>(x), d_w,
        const_cast<void*>(d_y));
  }

 private:
  struct Key {
    ConvolutionDirection direction;
    ConvolutionShape shape;
    bool accumulate;

    std::string text() const { return fmt::format("{} {}, add {}", name_of(direction), cpu::text(shape), accumulate); }
    auto members() const {
      const ConvolutionShape& s = shape;
      return std::tuple(direction, s.n, s.h, s.w, s.c, s.k, s.r, s.s, s.stride, s.padding, accumulate);
    }
    bool operator<(const Key& other) const { return members() < other.members(); }
  };
  struct Pointers {
    void *x, *w, *y;
  };

  static std::string cache_path(const Stream& stream, Precision precision, const std::string& directory) {
    if (directory.empty()) return "";
    cudaDeviceProp properties = {};
    check(cudaGetDeviceProperties(&properties, stream.ordinal), "reading a device's properties");
    const char* name =
        precision == Precision::fp32 ? "fp32" : "tf32";  // bf16 is for products; convolutions stay at TF32
    return autotune_path(directory, "cudnn", std::to_string(cudnnGetVersion()), properties.name, name);
  }

  void run(const Stream& stream, DType type, const Key& key, void* x, void* w, void* y) {
    if (tallied(stream, key.shape)) return;
    if (type != DType::f32) {
      fail(ErrorKind::runtime, "convolution {}: {} on a GPU: expected F32", key.text(), name_of(type));
    }
    if (stream.handle != stream_) {
      check(cudnnSetStream(handle_, handle_of(stream)), "giving cuDNN its stream");
      stream_ = stream.handle;
    }
    auto known = plans_.find(key);
    if (known == plans_.end()) known = plans_.emplace(key, choose(stream, key, {x, w, y})).first;
    check(execute(known->second, {x, w, y}), "convolution " + key.text());
  }

  cudnnStatus_t execute(const ConvolutionPlan& plan, const Pointers& p) {
    const int64_t ids[] = {tensor_x, tensor_w, tensor_y};
    void* const data[] = {p.x, p.w, p.y};
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "a convolution's arguments");
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, ids);
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, data);
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace_);
    pack.finalize();
    return cudnnBackendExecute(handle_, plan.plan.get(), pack.get());
  }

  ConvolutionPlan choose(const Stream& stream, const Key& key, const Pointers& pointers) {
    ConvolutionPlan kept;
    if (const auto text = cache_.find(key.text()); text && plan_from_text(*text, device_, kept) &&
                                                   kept.workspace <= workspace_at_most &&
                                                   grow_workspace(stream, kept.workspace)) {
      return kept;
    }
    std::vector<ConvolutionPlan> plans = convolution_plans(key.direction, key.shape, key.accumulate ? 1 : 0, device_);
    std::erase_if(plans, [&](const ConvolutionPlan& plan) {
      return !suits(plan, precision_) || plan.workspace > workspace_at_most;
    });
    ConvolutionPlan best = fastest(stream, key, std::move(plans), pointers);
    cache_.remember(key.text(), to_text(best));
    return best;
  }

  /// False where there is not so much memory left: what was there before is there again.
  bool grow_workspace(const Stream& stream, int64_t bytes) {
    if (bytes <= workspace_bytes_) return true;
    check(cudaStreamSynchronize(handle_of(stream)), "waiting for convolutions");
    void* larger = nullptr;
    const cudaError_t status = cudaMalloc(&larger, static_cast<size_t>(bytes));
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return false;
    }
    check(status, "growing the workspace of convolutions");
    if (workspace_) check(cudaFree(workspace_), "growing the workspace of convolutions");
    workspace_ = larger;
    workspace_bytes_ = bytes;
    return true;
  }

  static size_t result_bytes(const Key& key) {
    const ConvolutionShape& s = key.shape;
    const int64_t elements = key.direction == ConvolutionDirection::forward         ? s.n * s.out_h() * s.out_w() * s.k
                             : key.direction == ConvolutionDirection::backward_data ? s.n * s.h * s.w * s.c
                                                                                    : s.k * s.r * s.s * s.c;
    return static_cast<size_t>(elements) * sizeof(float);
  }

  /// Timed into scratch memory, since the result may be added to and must not change.
  ConvolutionPlan fastest(const Stream& stream, const Key& key, std::vector<ConvolutionPlan> plans, Pointers pointers) {
    void* raw = nullptr;
    check(cudaMalloc(&raw, result_bytes(key)), "allocating scratch memory to time convolutions in");
    const std::unique_ptr<void, cudaError_t (*)(void*)> scratch(raw, cudaFree);
    check(cudaMemsetAsync(raw, 0, result_bytes(key), handle_of(stream)), "clearing scratch memory");
    (key.direction == ConvolutionDirection::forward         ? pointers.y
     : key.direction == ConvolutionDirection::backward_data ? pointers.x
                                                            : pointers.w) = raw;
    Stopwatch stopwatch(handle_of(stream));
    ConvolutionPlan* best = nullptr;
    float best_time = 0;
    for (ConvolutionPlan& plan : plans) {
      if (!grow_workspace(stream, plan.workspace)) continue;
      if (execute(plan, pointers) != CUDNN_STATUS_SUCCESS) {
        cudaGetLastError();  // the next launch is not to blame
        continue;
      }
      const float time = stopwatch.measure([&] { check(execute(plan, pointers), "convolution " + key.text()); });
      if (!best || time < best_time) {
        best = &plan;
        best_time = time;
      }
    }
    if (!best)
      fail(ErrorKind::runtime, "convolution {}: cuDNN has no plan that runs in the memory that is left", key.text());
    return std::move(*best);
  }

  Precision precision_;
  Descriptor device_;
  AutotuneCache cache_;
  cudnnHandle_t handle_ = nullptr;
  void* stream_ = nullptr;
  void* workspace_ = nullptr;
  int64_t workspace_bytes_ = 0;
  std::map<Key, ConvolutionPlan> plans_;
};

}  // namespace

std::unique_ptr<ConvolutionEngine> make_cuda_convolution(const Stream& stream, Precision precision,
                                                         const std::string& cache_directory) {
  return std::make_unique<CudaConvolution>(stream, precision, cache_directory);
}

}  // namespace bev
