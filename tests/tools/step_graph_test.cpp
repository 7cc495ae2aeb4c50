// Recorded steps against steps that are launched one by one, on a device that works as a GPU does: the same to the bit,
// whatever is accumulated, however many replicas there are. And when steps are recorded, and when they are not.
#include <doctest/doctest.h>

#include "tests/support/policy_steps.h"
#include "tests/support/recording_device.h"

namespace bev {

namespace {

using test::PolicySteps;
using test::RecordingDevice;

PolicySteps on_recording_device(bool refuses = false) {
  PolicySteps out;
  out.make_device = [refuses] {
    auto device = std::make_unique<RecordingDevice>();
    device->refuses = refuses;
    return device;
  };
  return out;
}

void check_equal(const PolicySteps::Outcome& a, const PolicySteps::Outcome& b) {
  CHECK(a.losses == b.losses);
  CHECK(a.losses.front() != a.losses.back());
  CHECK(a.values == b.values);
}

}  // namespace

TEST_CASE("recorded steps do what launched ones do, whatever is accumulated") {
  for (const BevMode mode : {BevMode::tokens, BevMode::raster}) {
    for (const int64_t accumulation : {1, 2, 3, 4}) {
      if (mode == BevMode::raster && accumulation % 2 == 0) continue;  // nothing that tokens do not show
      PolicySteps steps = on_recording_device();
      steps.mode = mode;
      steps.accumulation = accumulation;
      steps.steps = mode == BevMode::raster ? 5 : 10;
      const PolicySteps::Outcome launched = steps.run();
      steps.graph = true;
      const PolicySteps::Outcome repeated = steps.run();
      CAPTURE(accumulation);
      check_equal(launched, repeated);
      CHECK(launched.note == "");
      // One graph a micro-step: where there is one replica its collectives are no calls.
      CHECK(repeated.note.find("launches in 1 graphs") != std::string::npos);
    }
  }
}

TEST_CASE("replicas' collectives keep their place between the graphs") {
  for (const bool sharded : {false, true}) {
    PolicySteps steps = on_recording_device();
    steps.mode = sharded ? BevMode::tokens : BevMode::raster;  // with batch norm's sums in the middle of forward
    steps.replicas = 2;
    steps.steps = 5;
    steps.sharded = sharded;
    const PolicySteps::Outcome launched = steps.run();
    steps.graph = true;
    check_equal(launched, steps.run());
  }
}

TEST_CASE("after its recording a step launches nothing but its inputs and its numbers") {
  PolicySteps steps = on_recording_device();
  steps.graph = true;
  std::vector<int64_t> launched, graphs;
  steps.before_step = [&](Replica& replica, int64_t) {
    const auto& device = dynamic_cast<const RecordingDevice&>(replica.device());
    launched.push_back(device.launched);
    graphs.push_back(device.graphs_run);
  };
  steps.steps = 7;
  steps.run();
  for (size_t step = 1; step + 1 < launched.size(); ++step) {
    const bool recorded = static_cast<int64_t>(step) >= StepGraph::warm_up_steps;
    CAPTURE(step);
    CHECK((launched[step + 1] - launched[step] == steps.fields() + 2) ==
          recorded);  // StepState to it, UpdateState from it
    CHECK(graphs[step + 1] - graphs[step] == (recorded ? 1 : 0));
  }
}

TEST_CASE("before the first step libraries have been asked for all that steps ask of them") {
  for (const BevMode mode : {BevMode::tokens, BevMode::raster}) {
    for (const int64_t accumulation : {1, 3}) {
      PolicySteps steps = on_recording_device();
      steps.mode = mode;
      steps.accumulation = accumulation;
      steps.steps = 3;
      std::vector<std::set<std::string>> asked;
      steps.before_step = [&](Replica& replica, int64_t) {
        asked.push_back(dynamic_cast<const RecordingDevice&>(replica.device()).asked_of_libraries);
      };
      steps.run();
      CAPTURE(accumulation);
      CHECK(asked.front().size() > 10);
      for (const std::string& product : asked.back()) {
        CAPTURE(product);
        CHECK(asked.front().contains(product));
      }
    }
  }
}

TEST_CASE("a step that cannot be recorded goes on being launched, and says so once") {
  PolicySteps steps = on_recording_device();
  steps.accumulation = 3;
  steps.steps = 5;
  const PolicySteps::Outcome launched = steps.run();
  for (const int replicas : {1, 2}) {
    PolicySteps refused = on_recording_device(true);
    refused.accumulation = 3;
    refused.steps = 5;
    refused.graph = true;
    refused.replicas = replicas;
    const PolicySteps::Outcome outcome = refused.run();
    CHECK(outcome.note.find("launched by itself: refused") != std::string::npos);
    if (replicas == 1) check_equal(launched, outcome);
  }
  PolicySteps cpu;
  cpu.make_device = [] { return make_cpu_device(); };
  cpu.steps = 1;
  cpu.graph = true;
  CHECK(cpu.run().note == "");
}

TEST_CASE("memory that is taken after the recording ends it, since the recorded step may write there") {
  PolicySteps steps = on_recording_device();
  const PolicySteps::Outcome launched = steps.run();
  steps.graph = true;
  Tensor taken;
  steps.before_step = [&](Replica& replica, int64_t step) {
    if (step == 5) taken = replica.context().empty({100});
    if (step == 9) taken = Tensor();
  };
  const PolicySteps::Outcome repeated = steps.run();
  check_equal(launched, repeated);
  CHECK(repeated.note.find("memory is held") != std::string::npos);
}

}  // namespace bev
