// The memory that convolutions work in is part of the plan: it is in the peak, it is cut before a batch is refused, and
// a cut that costs speed is said. With an engine that wants workspace on the CPU, as cuDNN's plans do.
#include <doctest/doctest.h>

#include "runtime/ops/convolution.h"
#include "runtime/ops/mean_squared_error.h"
#include "runtime/train/memory_plan.h"

namespace bev::test {

namespace {

constexpr int64_t mebibyte = 1 << 20;

/// Wants `wanted` bytes for every call, and tensor cores in no less than `least`.
class Hungry final : public ConvolutionEngine {
 public:
  Hungry(int64_t wanted, int64_t least) : wanted_(wanted), least_(least) {}
  void forward(const Stream&, DType, const ConvolutionShape&, const void*, const void*, void*) override { check(); }
  void backward_data(const Stream&, DType, const ConvolutionShape&, const void*, const void*, void*, double) override {
    check();
  }
  void backward_filter(const Stream&, DType, const ConvolutionShape&, const void*, const void*, void*,
                       double) override {
    check();
  }
  int64_t workspace(ConvolutionDirection, const ConvolutionShape&) override { return wanted(); }
  void lend(void* memory, int64_t bytes) override {
    lent_ = bytes;
    CHECK((memory != nullptr) == (bytes > 0));
  }
  void limit_workspace(const WorkspaceLimit& limit) override { limit_ = limit; }
  WorkspaceReport workspace_report() const override {
    WorkspaceReport out;
    out.largest = wanted();
    if (out.largest < least_) out.losses.emplace_back("slow convolutions");
    return out;
  }

  int64_t calls = 0;

 private:
  int64_t wanted() const { return std::min(wanted_, limit_.firm ? limit_.bytes : std::max(limit_.bytes, least_)); }
  void check() {
    CHECK(lent_ == wanted());
    lent_ = -1;  // lent to one call alone
    ++calls;
  }

  int64_t wanted_, least_, lent_ = -1;
  WorkspaceLimit limit_;
};

struct OneConvolution final : Task {
  Parameter* filter;
  explicit OneConvolution(ParameterStore& store) : filter(&store.declare("filter", {8, 3, 3, 4}, Init::constant(0))) {}
  Variable loss(Context& context, const Batch& batch) override {
    const Variable y = convolution(context, Variable(batch.at("x")), *filter, 1, 1);
    return mean_squared_error(context, y, batch.at("target"));
  }
  void validate(Context&, const Batch&, MetricSums&) override {}
};

class Case {
 public:
  explicit Case(std::shared_ptr<Hungry> engine)
      : planner_(task_, store_, *device_, {{"x", DType::f32, {16, 16, 4}}, {"target", DType::f32, {16, 16, 8}}},
                 DType::f32, {}, {}, *alone_.front(), {make_plain_matmul(), std::move(engine)}) {}
  MemoryPlan within(size_t limit) { return planner_.plan_within(1, limit); }

 private:
  std::unique_ptr<Device> device_ = make_cpu_device();
  ParameterStore store_;
  OneConvolution task_{store_};
  std::vector<std::unique_ptr<Communicator>> alone_ = make_thread_communicators(1);
  MemoryPlanner planner_;
};

}  // namespace

TEST_CASE("what convolutions work in is in the memory plan") {
  const auto sober = std::make_shared<Hungry>(0, 0), hungry = std::make_shared<Hungry>(100 * mebibyte, 0);
  const MemoryPlan without = Case(sober).within(size_t{1} << 40), with = Case(hungry).within(size_t{1} << 40);
  CHECK(hungry->calls == sober->calls);
  CHECK(hungry->calls == 4);  // a plan runs twice; of the image nobody wants a gradient
  CHECK(with.peak >= without.peak + 99 * mebibyte);
  CHECK(with.peak <= without.peak + 100 * mebibyte);
  CHECK(with.convolutions.largest == 100 * mebibyte);
  CHECK(with.table().find("100.0 MiB  is the most that a convolution works in") != std::string::npos);
  CHECK(without.table().find("works in") == std::string::npos);
}

TEST_CASE("workspace is cut before a batch is refused, and what that costs is said") {
  const auto need = Case(std::make_shared<Hungry>(0, 0)).within(size_t{1} << 40).extent;
  // 2 GiB where there is room for them: the limit of 1 GiB gives way to what tensor cores take.
  Case roomy(std::make_shared<Hungry>(2048 * mebibyte, 2048 * mebibyte));
  CHECK(roomy.within(need + size_t{2048} * mebibyte).convolutions.largest == 2048 * mebibyte);
  Case modest(std::make_shared<Hungry>(2048 * mebibyte, 0));
  CHECK(modest.within(size_t{1} << 40).convolutions.largest == 1024 * mebibyte);
  Case tight(std::make_shared<Hungry>(2048 * mebibyte, 2048 * mebibyte));
  const MemoryPlan cut = tight.within(need + size_t{300} * mebibyte);
  CHECK(cut.convolutions.largest == 256 * mebibyte);
  CHECK(cut.table().find("slow convolutions\n") != std::string::npos);
  CHECK(tight.within(need + size_t{1} * mebibyte).convolutions.largest == 0);
  CHECK(tight.within(size_t{1} << 40).convolutions.largest == 2048 * mebibyte);  // each plan begins anew
  CHECK_THROWS_AS(tight.within(need / 2), OutOfMemory);
}

}  // namespace bev::test
