// Convolutions by cuDNN's graph API. The plan for a shape is the fastest of those that suit the precision and fit into
// the workspace that the caller lends, timed on scratch memory when the shape first occurs (in the warm-up step, before
// any collective) or read from the cache. Which workspace a shape wants is known from its plans alone, before anything
// runs: so it is part of the memory plan.
//
// At bf16 convolutions stay at TF32. cuDNN 9.19 has no plan that reads bf16 and writes float, neither for compute
// capability 8.0 nor 9.0, and results, gradients of filters above all, are not to be rounded to 8 bits before they are
// added up.
#include <cudnn.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
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

class CudaConvolution : public ConvolutionEngine {
 public:
  CudaConvolution(const Stream& stream, Precision precision, const std::string& cache_directory)
      : precision_(precision), device_(current_device()), cache_(cache_path(stream, precision, cache_directory)) {
    check(cudnnCreate(&handle_), "creating a cuDNN handle");
  }
  ~CudaConvolution() override { cudnnDestroy(handle_); }

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

  int64_t workspace(ConvolutionDirection direction, const ConvolutionShape& shape) override {
    const int64_t bytes = choice(Key{direction, shape, false}).bytes;
    if (direction == ConvolutionDirection::forward) return bytes;
    return std::max(bytes, choice(Key{direction, shape, true}).bytes);  // memory is planned for either
  }
  void lend(void* memory, int64_t bytes) override { lent_ = {memory, bytes}; }
  void limit_workspace(const WorkspaceLimit& limit) override {
    limit_ = limit;
    choices_.clear();
  }
  WorkspaceReport workspace_report() const override {
    WorkspaceReport out;
    int64_t narrowed = 0;
    for (const auto& [key, choice] : choices_) {
      out.largest = std::max(out.largest, choice.bytes);
      if (choice.loses_tensor_cores) {
        out.losses.push_back(fmt::format(
            "convolution {}: kept from the tensor cores, whose plans ask for more than {:.1f} MiB of workspace",
            key.text(), static_cast<double>(choice.bytes) / (1 << 20)));
      } else if (choice.left_out > 0) {
        ++narrowed;
      }
    }
    if (narrowed > 0 && limit_.firm) {
      out.losses.push_back(fmt::format("{} convolutions choose among fewer plans: {} MiB of workspace is what is left",
                                       narrowed, limit_.bytes >> 20));
    }
    return out;
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
  struct Workspace {
    void* memory = nullptr;
    int64_t bytes = 0;
  };

  static std::string cache_path(const Stream& stream, Precision precision, const std::string& directory) {
    if (directory.empty()) return "";
    cudaDeviceProp properties = {};
    check(cudaGetDeviceProperties(&properties, stream.ordinal), "reading a device's properties");
    const char* name = precision == Precision::fp32 ? "fp32" : "tf32";
    return autotune_path(directory, "cudnn", std::to_string(cudnnGetVersion()), properties.name, name);
  }

  void run(const Stream& stream, DType type, const Key& key, void* x, void* w, void* y) {
    const Workspace workspace = std::exchange(lent_, {});
    if (tallied(stream, key.shape)) return;
    if (type != DType::f32) {
      fail(ErrorKind::runtime, "convolution {}: {} on a GPU: expected F32", key.text(), name_of(type));
    }
    if (stream.handle != stream_) {
      check(cudnnSetStream(handle_, handle_of(stream)), "giving cuDNN its stream");
      stream_ = stream.handle;
    }
    auto known = plans_.find(key);
    if (known == plans_.end()) known = plans_.emplace(key, choose(stream, key, {x, w, y}, workspace)).first;
    if (known->second.workspace > workspace.bytes) {
      fail(ErrorKind::runtime, "convolution {}: {} bytes of workspace were lent, its plan needs {}", key.text(),
           workspace.bytes, known->second.workspace);
    }
    check(execute(known->second, {x, w, y}, workspace), "convolution " + key.text());
  }

  cudnnStatus_t execute(const ConvolutionPlan& plan, const Pointers& p, const Workspace& workspace) {
    const int64_t ids[] = {tensor_x, tensor_w, tensor_y};
    void* const data[] = {p.x, p.w, p.y};
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "a convolution's arguments");
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, ids);
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, data);
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace.memory);
    pack.finalize();
    return cudnnBackendExecute(handle_, plan.plan.get(), pack.get());
  }

  const WorkspaceChoice& choice(const Key& key) {
    const auto known = choices_.find(key);
    if (known != choices_.end()) return known->second;
    const std::vector<ConvolutionPlan> plans =
        convolution_plans(key.direction, key.shape, key.accumulate ? 1 : 0, device_);
    return choices_.emplace(key, choose_workspace(plans, precision_, limit_)).first->second;
  }

  ConvolutionPlan choose(const Stream& stream, const Key& key, const Pointers& pointers, const Workspace& workspace) {
    ConvolutionPlan kept;
    // What was chosen in another workspace may not be the fastest in this one.
    const std::string name = fmt::format("{}, workspace {}", key.text(), workspace.bytes);
    if (const auto text = cache_.find(name);
        text && plan_from_text(*text, device_, kept) && kept.workspace <= workspace.bytes) {
      return kept;
    }
    std::vector<ConvolutionPlan> plans = convolution_plans(key.direction, key.shape, key.accumulate ? 1 : 0, device_);
    std::erase_if(plans, [&](const ConvolutionPlan& plan) {
      return !suits(plan, precision_) || plan.workspace > workspace.bytes;
    });
    ConvolutionPlan* const best = fastest(stream, key, plans, pointers, workspace);
    if (!best) return std::move(plans.front());
    cache_.remember(name, to_text(*best));
    return std::move(*best);
  }

  static size_t result_bytes(const Key& key) {
    const ConvolutionShape& s = key.shape;
    const int64_t elements = key.direction == ConvolutionDirection::forward         ? s.n * s.out_h() * s.out_w() * s.k
                             : key.direction == ConvolutionDirection::backward_data ? s.n * s.h * s.w * s.c
                                                                                    : s.k * s.r * s.s * s.c;
    return static_cast<size_t>(elements) * sizeof(float);
  }

  /// Timed into the result itself, which the call that follows writes anew; where it is added to, into scratch memory.
  /// Null where that is not free: then the library's own first choice serves, and is not remembered.
  ConvolutionPlan* fastest(const Stream& stream, const Key& key, std::vector<ConvolutionPlan>& plans, Pointers pointers,
                           const Workspace& workspace) {
    auto scratch = std::unique_ptr<void, cudaError_t (*)(void*)>(nullptr, cudaFree);
    if (key.accumulate) {
      scratch = scratch_memory(result_bytes(key), handle_of(stream));
      if (!scratch && !plans.empty()) return nullptr;
      (key.direction == ConvolutionDirection::backward_data ? pointers.x : pointers.w) = scratch.get();
    }
    Stopwatch stopwatch(handle_of(stream));
    ConvolutionPlan* best = nullptr;
    float best_time = std::numeric_limits<float>::infinity();
    for (ConvolutionPlan& plan : plans) {
      if (execute(plan, pointers, workspace) != CUDNN_STATUS_SUCCESS) {
        cudaGetLastError();  // the next launch is not to blame
        continue;
      }
      const float time =
          stopwatch.measure([&] { check(execute(plan, pointers, workspace), "convolution " + key.text()); }, best_time);
      if (!best || time < best_time) {
        best = &plan;
        best_time = time;
      }
    }
    if (!best)
      fail(ErrorKind::runtime, "convolution {}: cuDNN has no plan that runs in {} bytes of workspace", key.text(),
           workspace.bytes);
    return best;
  }

  Precision precision_;
  Descriptor device_;
  AutotuneCache cache_;
  cudnnHandle_t handle_ = nullptr;
  void* stream_ = nullptr;
  Workspace lent_;  // to the next call
  WorkspaceLimit limit_;
  std::map<Key, WorkspaceChoice> choices_;
  std::map<Key, ConvolutionPlan> plans_;
};

}  // namespace

std::unique_ptr<ConvolutionEngine> make_cuda_convolution(const Stream& stream, Precision precision,
                                                         const std::string& cache_directory) {
  return std::make_unique<CudaConvolution>(stream, precision, cache_directory);
}

}  // namespace bev
