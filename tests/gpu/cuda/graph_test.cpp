// A warmed-up step of the whole policy allocates nothing and never waits: it can be captured into a CUDA graph, and the
// graph, replayed with other numbers in StepState, trains as the steps themselves do, to the bit.
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <bit>
#include <cstring>

#include "kernels/launch.h"
#include "kernels/step_loss.h"
#include "model/policy_task.h"
#include "runtime/cuda/check.h"
#include "runtime/distributed/communicator.h"
#include "runtime/train/initialise.h"
#include "runtime/train/inputs.h"
#include "runtime/train/memory_plan.h"
#include "tests/support/gpu_context.h"
#include "tests/support/numbers.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

using cuda::check;

constexpr int64_t samples = 4;

PolicyConfig small_policy(BevMode mode) {
  PolicyConfig config;
  config.mode = mode;
  config.bev_input_size = {64, 64};
  config.cells = 4;
  config.base_channels = 8;
  config.vl_tokens = 12;
  config.vlm_dim = config.vl_emb_dim = 32;
  config.width = 64;
  config.heads = 4;
  config.layers = 3;
  config.condition_layers = 2;
  return config;
}

std::vector<FieldSpec> fields_of(const PolicyConfig& p) {
  std::vector<FieldSpec> fields = {
      {"ego_status", DType::f32, {p.observed, p.state_dim}},
      {"agent_pos", DType::f32, {p.horizon, 2}},
      {"gen_vit_tokens", DType::bf16, {p.vl_tokens, p.vlm_dim}},
      {"reasoning_query_tokens", DType::bf16, {p.reasoning_tokens, p.vlm_dim}},
  };
  if (p.mode == BevMode::raster) {
    fields.push_back({"lidar_bev", DType::u8, {p.observed, 3, p.bev_input_size[0], p.bev_input_size[1]}});
  } else {
    fields.push_back({"lidar_token", DType::f32, {p.observed, p.cells, 512}});
  }
  return fields;
}

class Trainee {
 public:
  explicit Trainee(const PolicyConfig& config)
      : gpu(Precision::tf32), task(store, config, *gpu.device, {}, {}), fields(fields_of(config)) {
    const auto alone = make_thread_communicators(1);
    const std::vector<Parameter*> order =
        MemoryPlanner(task, store, *gpu.device, fields, DType::f32, {}, {}, *alone.front()).plan(samples).order;
    Context& context = gpu.context;
    store.allocate(*context.arena, DType::f32, order,
                   [&](void* memory, size_t bytes) { gpu.device->zero(context.stream, memory, bytes); });
    initialise(store, *gpu.device, context.stream, 42);
    optimizer = std::make_unique<Optimizer>(store, context, *gpu.device, OptimizerConfig{});
    batch = batch_in_arena(context, fields, samples);
    for (const Batch::Field& field : batch.fields) fill(field.value);
  }

  void write_state(int64_t step) {
    gpu.write_state({.seed = 7, .step = step, .learning_rate = 1e-3, .gradient_scale = 1});
  }
  /// All that a step puts on the device.
  void compute() {
    Context& context = gpu.context;
    context.restart_random_places();
    context.tape.begin(store, false);
    const Variable loss = task.loss(context, batch);
    const auto* state = static_cast<const StepState*>(context.state);
    const Tensor sum = context.empty({1});
    for_elements(context.stream, 1,
                 CollectLoss<float>{.loss = loss.value().data<float>(),
                                    .step = state,
                                    .sum = sum.data<float>(),
                                    .update = optimizer->update(),
                                    .micro = 0});
    context.tape.backward(loss, [&](const Tensor& d_loss, bool) {
      for_elements(context.stream, 1, SeedGradient<float>{.step = state, .d_loss = d_loss.data<float>()});
    });
    for_elements(context.stream, 1, PublishLoss<float>{.sum = sum.data<float>(), .update = optimizer->update()});
    optimizer->measure();
    optimizer->decide();
    optimizer->apply();
  }
  std::vector<double> weights() { return read_numbers(gpu.context, store.trained_values()); }

  GpuContext gpu;
  ParameterStore store;
  PolicyTask task;
  std::vector<FieldSpec> fields;
  std::unique_ptr<Optimizer> optimizer;
  Batch batch;

 private:
  void fill(const Tensor& tensor) {
    const auto numbers = random_numbers<float>(tensor.size(), 9);
    std::vector<std::byte> bytes(tensor.bytes());
    for (size_t i = 0; i < numbers.size(); ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(numbers[i]);
      const auto half = static_cast<uint16_t>(bits >> 16);
      const auto pixel = static_cast<uint8_t>(127 * (numbers[i] + 1));
      const void* source = tensor.dtype() == DType::u8     ? static_cast<const void*>(&pixel)
                           : tensor.dtype() == DType::bf16 ? static_cast<const void*>(&half)
                                                           : static_cast<const void*>(&bits);
      std::memcpy(bytes.data() + i * size_of(tensor.dtype()), source, size_of(tensor.dtype()));
    }
    write_to_device(*gpu.device, gpu.context.stream, tensor.raw(), bytes.data(), bytes.size());
  }
};

/// A captured step.
class Graph {
 public:
  explicit Graph(Trainee& trainee) : stream_(cuda::handle_of(trainee.gpu.context.stream)) {
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "beginning to capture");
    trainee.compute();
    check(cudaStreamEndCapture(stream_, &graph_), "ending to capture");
    check(cudaGraphInstantiate(&executable_, graph_, 0), "making a graph");
  }
  ~Graph() {
    cudaGraphExecDestroy(executable_);
    cudaGraphDestroy(graph_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch() { check(cudaGraphLaunch(executable_, stream_), "launching a graph"); }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

TEST_CASE("a step captured once and replayed trains as the steps themselves do") {
  for (const BevMode mode : {BevMode::tokens, BevMode::raster}) {
    Trainee eager(small_policy(mode)), replayed(small_policy(mode));
    // One choice of algorithms for both.
    replayed.gpu.context.matmul = eager.gpu.context.matmul;
    replayed.gpu.context.convolution = eager.gpu.context.convolution;
    for (int64_t step = 0; step < 4; ++step) {
      eager.write_state(step);
      eager.compute();
      eager.gpu.device->synchronize(eager.gpu.context.stream);
    }
    replayed.write_state(0);
    replayed.compute();
    replayed.gpu.device->synchronize(replayed.gpu.context.stream);
    CHECK(eager.weights() != replayed.weights());
    {
      Graph graph(replayed);
      for (int64_t step = 1; step < 4; ++step) {
        replayed.write_state(step);
        graph.launch();
        replayed.gpu.device->synchronize(replayed.gpu.context.stream);
      }
    }
    CHECK(eager.weights() == replayed.weights());
  }
}

TEST_CASE("a warmed-up step takes no memory") {
  Trainee trainee(small_policy(BevMode::raster));
  for (int64_t step = 0; step < 2; ++step) {
    trainee.write_state(step);
    trainee.compute();
  }
  trainee.gpu.device->synchronize(trainee.gpu.context.stream);
  const size_t free = trainee.gpu.device->memory().free;
  for (int64_t step = 2; step < 5; ++step) {
    trainee.write_state(step);
    trainee.compute();
  }
  trainee.gpu.device->synchronize(trainee.gpu.context.stream);
  CHECK(trainee.gpu.device->memory().free == free);
}

}  // namespace bev::test
