// cuDNN's plans for every convolution of the full raster model, without a GPU: the library builds them for a device
// that is only described to it. The shapes come from the backbone itself, run dry with an engine that writes them down,
// so that this list cannot go stale.
#include "runtime/cuda/cudnn_graph.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "model/backbone.h"
#include "runtime/cpu/admit.h"
#include "tests/support/cpu_context.h"

namespace bev::test {

namespace {

using namespace cuda;

constexpr int64_t small_workspace = int64_t{8} << 20;

struct Call {
  ConvolutionDirection direction;
  ConvolutionShape shape;
  bool operator==(const Call&) const = default;
};

class Recorder : public ConvolutionEngine {
 public:
  explicit Recorder(std::vector<Call>& calls) : calls_(calls) {}
  void forward(const Stream&, DType, const ConvolutionShape& shape, const void*, const void*, void*) override {
    note({ConvolutionDirection::forward, shape});
  }
  void backward_data(const Stream&, DType, const ConvolutionShape& shape, const void*, const void*, void*,
                     double) override {
    note({ConvolutionDirection::backward_data, shape});
  }
  void backward_filter(const Stream&, DType, const ConvolutionShape& shape, const void*, const void*, void*,
                       double) override {
    note({ConvolutionDirection::backward_filter, shape});
  }

 private:
  void note(const Call& call) {
    if (std::find(calls_.begin(), calls_.end(), call) == calls_.end()) calls_.push_back(call);
  }
  std::vector<Call>& calls_;
};

/// Every convolution of a training step on 32 rasters of 448 x 448, each once.
std::vector<Call> convolutions_of_the_model() {
  std::vector<Call> calls;
  const auto arena = Arena::dry();
  const StepState state;
  Context context({.kind = DeviceKind::dry}, arena, make_cpu_matmul(), std::make_shared<Recorder>(calls), &state,
                  DType::f32);
  ParameterStore store;
  const Backbone backbone(store, "backbone", {.channels = 64});
  std::vector<Parameter*> order;
  for (const auto& parameter : store.all()) {
    if (parameter->trainable) order.push_back(parameter.get());
  }
  store.allocate(*arena, DType::f32, order, [](void*, size_t) {});
  context.tape.begin(store, false);
  const Variable y = backbone(context, context.empty({32, 448, 448, 4}));
  context.tape.backward(y, [](const Tensor&, bool) {});
  return calls;
}

/// As cuDNN itself writes a device down; all keys are needed.
std::string device_json(int version, int multiprocessors, int shared_memory, const char* name) {
  return fmt::format(
      R"({{"deviceVer":{},"driverVer":13000,"cudaDeviceId":0,"totalGlobalMem":85899345920,)"
      R"("maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)"
      R"("multiProcessorCount":{},"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":{},)"
      R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,)"
      R"("maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"smClockRateKHz":1410000,)"
      R"("memClockRateKHz":1593000,"l2CacheSize":41943040,"deviceName":"{}"}})",
      version, multiprocessors, shared_memory, name);
}
Descriptor h100() { return described_device(device_json(900, 132, 232448, "NVIDIA H100 80GB HBM3")); }
Descriptor a100() { return described_device(device_json(800, 108, 166912, "NVIDIA A100-SXM4-80GB")); }

struct Offer {
  int plans = 0, tensor_core_plans = 0;
  std::optional<int64_t> workspace;  // the least of a plan that repeats and uses TF32
};

Offer offer_for(const Call& call, double beta, const Descriptor& device) {
  Offer out;
  for (const ConvolutionPlan& plan : convolution_plans(call.direction, call.shape, beta, device)) {
    ++out.plans;
    if (!suits(plan, Precision::tf32) || !plan.tensor_cores || plan.down_converts) continue;
    ++out.tensor_core_plans;
    out.workspace = std::min(out.workspace.value_or(plan.workspace), plan.workspace);
  }
  return out;
}

/// Prints a line; plans of which there are none, or none that suit, are named by the check that fails.
Offer report(const Call& call, double beta, const Descriptor& device, const char* name) {
  const Offer offer = offer_for(call, beta, device);
  const std::string what = fmt::format("{}, {} {}, add {}", name, name_of(call.direction), cpu::text(call.shape), beta);
  const std::string least =
      offer.workspace ? fmt::format("{:.1f} MiB", static_cast<double>(*offer.workspace) / (1 << 20)) : "none";
  MESSAGE(fmt::format("{:>2} plans, {:>2} of TF32 that repeat, least workspace {:>10}  {}", offer.plans,
                      offer.tensor_core_plans, least, what));
  INFO(what);
  CHECK(offer.tensor_core_plans > 0);
  return offer;
}

bool of_the_image(const Call& call) { return call.shape.c <= 4; }

}  // namespace

TEST_CASE("the model's convolutions are the ones that are looked at") {
  const std::vector<Call> calls = convolutions_of_the_model();
  const auto count = [&](ConvolutionDirection direction) {
    return std::count_if(calls.begin(), calls.end(), [&](const Call& call) { return call.direction == direction; });
  };
  // The stem's three, and 3x3 and 1x1 of four stages, of which two are alike; no gradient flows to the image.
  CHECK(count(ConvolutionDirection::forward) == count(ConvolutionDirection::backward_filter));
  CHECK(count(ConvolutionDirection::backward_data) == count(ConvolutionDirection::forward) - 1);
  CHECK(std::none_of(calls.begin(), calls.end(), [](const Call& call) {
    return of_the_image(call) && call.direction == ConvolutionDirection::backward_data;
  }));
}

TEST_CASE("H100: every convolution of the model has a TF32 plan that repeats and needs little workspace") {
  const Descriptor device = h100();
  for (const Call& call : convolutions_of_the_model()) {
    const Offer offer = report(call, 0, device, "H100");
    CHECK(offer.workspace.value_or(INT64_MAX) < small_workspace);
  }
}

// Its TF32 kernels read rounded copies of their inputs, which lie in the workspace: none is small.
TEST_CASE("A100: every convolution of the model has a TF32 plan that repeats") {
  const Descriptor device = a100();
  for (const Call& call : convolutions_of_the_model()) report(call, 0, device, "A100");
}

TEST_CASE("a workspace limit gives way to tensor cores, unless it is firm") {
  const Descriptor device = a100();
  constexpr int64_t mebibyte = 1 << 20;
  int below = 0;
  for (const Call& call : convolutions_of_the_model()) {
    const auto plans = convolution_plans(call.direction, call.shape, 0, device);
    INFO(fmt::format("{} {}", name_of(call.direction), cpu::text(call.shape)));
    const WorkspaceChoice standard = choose_workspace(plans, Precision::tf32, {});
    CHECK(standard.plans > 0);
    CHECK_FALSE(standard.loses_tensor_cores);
    CHECK(standard.bytes <= WorkspaceLimit().bytes);  // at batch 32 the limit does not even have to give way
    const WorkspaceChoice yields = choose_workspace(plans, Precision::tf32, {.bytes = mebibyte});
    CHECK_FALSE(yields.loses_tensor_cores);
    const WorkspaceChoice firm = choose_workspace(plans, Precision::tf32, {.bytes = mebibyte, .firm = true});
    CHECK(firm.bytes <= yields.bytes);
    CHECK(firm.left_out < firm.plans);  // one that runs is always left
    CHECK(firm.loses_tensor_cores == (yields.bytes > firm.bytes));
    below += firm.loses_tensor_cores;
    const WorkspaceChoice exact = choose_workspace(plans, Precision::fp32, {.bytes = 0, .firm = true});
    CHECK_FALSE(exact.loses_tensor_cores);
    CHECK(exact.left_out < exact.plans);
  }
  CHECK(below > 0);
}

TEST_CASE("gradients that are added to have plans too") {
  for (const Descriptor& device : {h100(), a100()}) {
    for (const Call& call : convolutions_of_the_model()) {
      if (call.direction != ConvolutionDirection::forward) CHECK(offer_for(call, 1, device).tensor_core_plans > 0);
    }
  }
}

TEST_CASE("float32 plans without tensor cores and transforms exist for every convolution of the model") {
  int64_t winograd = 0;
  for (const Descriptor& device : {h100(), a100()}) {
    for (const Call& call : convolutions_of_the_model()) {
      const auto plans = convolution_plans(call.direction, call.shape, 0, device);
      INFO(cpu::text(call.shape));
      int64_t exact = 0;
      for (const ConvolutionPlan& plan : plans) {
        winograd += plan.transforms;
        if (!suits(plan, Precision::fp32)) continue;
        ++exact;
        CHECK_FALSE(plan.tensor_cores);
        CHECK_FALSE(plan.transforms);
      }
      CHECK(exact > 0);
    }
  }
  CHECK(winograd > 0);  // where there is none to refuse, nothing was tested
}

TEST_CASE("a plan kept as text is the same plan again") {
  const Descriptor device = h100();
  const Call call{ConvolutionDirection::forward,
                  {.n = 32, .h = 56, .w = 56, .c = 64, .k = 64, .r = 3, .s = 3, .stride = 1, .padding = 1}};
  int kept = 0;
  for (const ConvolutionPlan& plan : convolution_plans(call.direction, call.shape, 0, device)) {
    if (plan.compiled_at_run_time) continue;
    const std::string text = to_text(plan);
    if (text.empty()) continue;
    ConvolutionPlan again;
    CHECK(plan_from_text(text, device, again));
    CHECK(again.workspace == plan.workspace);
    CHECK(to_text(again) == text);
    ++kept;
  }
  CHECK(kept > 0);
  ConvolutionPlan nothing;
  CHECK_FALSE(plan_from_text("", device, nothing));
  CHECK_FALSE(plan_from_text("{\"not\": \"a plan\"}", device, nothing));
}

}  // namespace bev::test
