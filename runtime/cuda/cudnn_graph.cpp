#include "runtime/cuda/cudnn_graph.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "runtime/cpu/admit.h"
#include "runtime/cuda/check.h"

namespace bev::cuda {

namespace {

constexpr int64_t alignment = 16;  // bytes; the arena gives more

/// Sizes in the library's order n, c, h, w; strides of a tensor whose channels lie side by side.
Descriptor make_tensor(int64_t id, int64_t n, int64_t c, int64_t h, int64_t w, const char* what) {
  Descriptor out(CUDNN_BACKEND_TENSOR_DESCRIPTOR, what);
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  out.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  out.set(CUDNN_ATTR_TENSOR_DIMENSIONS, {n, c, h, w});
  out.set(CUDNN_ATTR_TENSOR_STRIDES, {h * w * c, 1, w * c, c});
  out.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, {id});
  out.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {alignment});
  out.finalize();
  return out;
}

Descriptor make_convolution(const ConvolutionShape& shape) {
  Descriptor out(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "a convolution");
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  out.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  out.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  out.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {2});
  out.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {shape.padding, shape.padding});
  out.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {shape.padding, shape.padding});
  out.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {shape.stride, shape.stride});
  out.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {1, 1});
  out.finalize();
  return out;
}

/// The attribute names of one direction's operation.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
};

OperationNames names_of(ConvolutionDirection direction) {
  switch (direction) {
    case ConvolutionDirection::backward_data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvolutionDirection::backward_filter:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
    case ConvolutionDirection::forward:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

/// A graph of the one operation, with the parts that it refers to.
Descriptor make_graph(ConvolutionDirection direction, const ConvolutionShape& s, double beta) {
  const Descriptor x = make_tensor(tensor_x, s.n, s.c, s.h, s.w, "a convolution's input");
  const Descriptor w = make_tensor(tensor_w, s.k, s.c, s.r, s.s, "a convolution's filters");
  const Descriptor y = make_tensor(tensor_y, s.n, s.k, s.out_h(), s.out_w(), "a convolution's output");
  const Descriptor convolution = make_convolution(s);
  const OperationNames names = names_of(direction);
  Descriptor operation(names.type, std::string("convolution ") + name_of(direction));
  operation.set(names.x, x).set(names.w, w).set(names.y, y).set(names.convolution, convolution);
  operation.set_float(names.alpha, 1).set_float(names.beta, static_cast<float>(beta));
  operation.finalize();
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "a convolution's graph");
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  graph.finalize();
  return graph;
}

/// The engine configurations that one heuristic offers.
std::vector<Descriptor> configurations(const Descriptor& graph, const Descriptor& device, cudnnBackendHeurMode_t mode) {
  Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "a convolution's heuristic");
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
  if (!heuristic.try_finalize()) return {};
  int64_t count = 0;
  check(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                 &count, nullptr),
        "counting a convolution's engines");
  std::vector<Descriptor> out;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < count; ++i) {
    raw.push_back(out.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "an engine of a convolution").get());
  }
  int64_t filled = 0;
  check(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count,
                                 &filled, raw.data()),
        "reading a convolution's engines");
  out.resize(static_cast<size_t>(filled));
  return out;
}

/// What an engine says of its arithmetic and behaviour.
void read_notes(const Descriptor& configuration, ConvolutionPlan& plan) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR, "an engine");
  cudnnBackendDescriptor_t raw = engine.get();
  int64_t count = 0;
  check(cudnnBackendGetAttribute(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                 &count, &raw),
        "reading an engine");
  check(cudnnBackendGetAttribute(raw, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &plan.engine),
        "reading an engine's number");
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> numerical = {};
  check(cudnnBackendGetAttribute(raw, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, numerical.data()),
        "reading an engine's notes");
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    plan.tensor_cores |= numerical[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    plan.down_converts |= numerical[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
    plan.transforms |= numerical[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD || numerical[i] == CUDNN_NUMERICAL_NOTE_FFT;
    if (numerical[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) plan.deterministic = false;
  }
  std::array<cudnnBackendBehaviorNote_t, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT> behavior = {};
  check(cudnnBackendGetAttribute(raw, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                                 CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &count, behavior.data()),
        "reading an engine's notes");
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    plan.compiled_at_run_time |= behavior[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
  }
}

void read_workspace(ConvolutionPlan& plan) {
  int64_t count = 0;
  check(cudnnBackendGetAttribute(plan.plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
                                 &plan.workspace),
        "reading a plan's workspace");
}

}  // namespace

Descriptor::Descriptor(cudnnBackendDescriptorType_t type, std::string what) : what_(std::move(what)) {
  check(cudnnBackendCreateDescriptor(type, &raw_), "describing " + what_);
}
Descriptor::~Descriptor() {
  if (raw_) cudnnBackendDestroyDescriptor(raw_);
}
Descriptor::Descriptor(Descriptor&& other) noexcept
    : raw_(std::exchange(other.raw_, nullptr)), what_(std::move(other.what_)) {}
Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(raw_, other.raw_);
  std::swap(what_, other.what_);
  return *this;
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                            const void* values) {
  check(cudnnBackendSetAttribute(raw_, name, type, count, values),
        fmt::format("describing {} (attribute {})", what_, static_cast<int>(name)));
  return *this;
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const std::vector<int64_t>& values) {
  return set(name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, const Descriptor& value) {
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.raw_);
}
Descriptor& Descriptor::set_float(cudnnBackendAttributeName_t name, float value) {
  return set(name, CUDNN_TYPE_FLOAT, 1, &value);
}
void Descriptor::finalize() { check(cudnnBackendFinalize(raw_), "describing " + what_); }
bool Descriptor::try_finalize() { return cudnnBackendFinalize(raw_) == CUDNN_STATUS_SUCCESS; }

Descriptor current_device() {
  int ordinal = 0;
  check(cudaGetDevice(&ordinal), "asking for the current device");
  Descriptor out(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "a device");
  const int32_t id = ordinal;
  out.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &id);
  out.finalize();
  return out;
}

Descriptor described_device(const std::string& json) {
  Descriptor out(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "a device");
  out.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<int64_t>(json.size()), json.data());
  out.finalize();
  return out;
}

std::vector<ConvolutionPlan> convolution_plans(ConvolutionDirection direction, const ConvolutionShape& shape,
                                               double beta, const Descriptor& device) {
  const Descriptor graph = make_graph(direction, shape, beta);
  std::vector<ConvolutionPlan> out;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const Descriptor& configuration : configurations(graph, device, mode)) {
      ConvolutionPlan plan;
      plan.plan = Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "a convolution's plan");
      plan.plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      plan.plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
      if (!plan.plan.try_finalize()) continue;  // offered, but not for this shape after all
      read_notes(configuration, plan);
      read_workspace(plan);
      out.push_back(std::move(plan));
    }
  }
  return out;
}

std::string to_text(const ConvolutionPlan& plan) {
  int64_t length = 0;
  if (cudnnBackendGetAttribute(plan.plan.get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0,
                               &length, nullptr) != CUDNN_STATUS_SUCCESS) {
    return "";
  }
  std::string out(static_cast<size_t>(length), '\0');
  if (cudnnBackendGetAttribute(plan.plan.get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, length,
                               &length, out.data()) != CUDNN_STATUS_SUCCESS) {
    return "";
  }
  out.resize(static_cast<size_t>(length));
  while (!out.empty() && out.back() == '\0') out.pop_back();
  return out;
}

bool plan_from_text(const std::string& text, const Descriptor& device, ConvolutionPlan& plan) {
  if (text.empty()) return false;
  Descriptor loaded(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "a kept plan");
  if (cudnnBackendSetAttribute(loaded.get(), CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                               std::array{device.get()}.data()) != CUDNN_STATUS_SUCCESS ||
      cudnnBackendSetAttribute(loaded.get(), CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                               static_cast<int64_t>(text.size()), text.data()) != CUDNN_STATUS_SUCCESS ||
      !loaded.try_finalize()) {
    return false;
  }
  plan.plan = std::move(loaded);
  read_workspace(plan);
  return true;
}

bool suits(const ConvolutionPlan& plan, Precision precision) {
  if (!plan.deterministic || plan.down_converts) return false;
  return precision != Precision::fp32 || !(plan.tensor_cores || plan.transforms);
}

WorkspaceChoice choose_workspace(const std::vector<ConvolutionPlan>& plans, Precision precision,
                                 const WorkspaceLimit& limit) {
  std::optional<int64_t> any, fast;  // the least that a plan asks for, and one that uses tensor cores
  for (const ConvolutionPlan& plan : plans) {
    if (!suits(plan, precision)) continue;
    any = std::min(any.value_or(plan.workspace), plan.workspace);
    if (plan.tensor_cores) fast = std::min(fast.value_or(plan.workspace), plan.workspace);
  }
  const int64_t needed = (limit.firm ? any : fast ? fast : any).value_or(0);
  const int64_t at_most = std::max(limit.bytes, needed);
  WorkspaceChoice out;
  for (const ConvolutionPlan& plan : plans) {
    if (!suits(plan, precision)) continue;
    ++out.plans;
    if (plan.workspace > at_most) {
      ++out.left_out;
    } else {
      out.bytes = std::max(out.bytes, plan.workspace);
    }
  }
  out.loses_tensor_cores = fast && *fast > at_most;
  return out;
}

}  // namespace bev::cuda
