// Recorded steps against steps that are launched one by one, with real graphs: the whole policy with its dropout, the
// same to the bit. What is recorded and when is tested without a GPU (tests/tools/step_graph_test.cpp); here it is
// whether CUDA takes every launch and library call into a graph, and repeats it with what device memory then says.
#include <doctest/doctest.h>

#include <filesystem>
#include <map>

#include "tests/support/gpu_context.h"
#include "tests/support/policy_steps.h"
#include "tests/support/temporary_folder.h"

namespace bev::test {

namespace {

/// All runs of a comparison take the algorithms that are in `cache`.
PolicySteps on_gpu(const TemporaryFolder& cache, Precision precision) {
  PolicySteps out;
  out.make_device = [&cache, precision] {
    return make_cuda_device(0, {.precision = precision, .cache_directory = cache.file("autotune")});
  };
  if (is_pretended()) {
    out.steps = 5;
    out.micro_batch = 1;
  }
  return out;
}

void compare(PolicySteps steps) {
  PolicySteps chooses = steps;
  chooses.replicas = 1;
  chooses.steps = 1;
  chooses.run();
  const PolicySteps::Outcome launched = steps.run();
  steps.graph = true;
  const PolicySteps::Outcome repeated = steps.run();
  CAPTURE(steps.accumulation);
  CAPTURE(steps.replicas);
  INFO(repeated.note);
  CHECK(repeated.note.find("recorded") != std::string::npos);
  CHECK(repeated.losses == launched.losses);
  CHECK(repeated.losses.front() != repeated.losses.back());
  CHECK(repeated.values == launched.values);
}

}  // namespace

TEST_CASE("recorded steps train as launched ones do, to the bit") {
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
    if (is_pretended() && precision != Precision::tf32) continue;  // what it computes in is another matter
    const TemporaryFolder cache;
    for (const BevMode mode : {BevMode::tokens, BevMode::raster}) {
      for (const int64_t accumulation : {1, 3}) {
        if (is_pretended() && (mode == BevMode::raster) != (accumulation == 3)) continue;
        PolicySteps steps = on_gpu(cache, precision);
        steps.mode = mode;
        steps.accumulation = accumulation;
        compare(steps);
      }
    }
  }
}

TEST_CASE("replicas that share a GPU meet between the graphs") {
  const TemporaryFolder cache;
  for (const bool sharded : {false, true}) {
    if (is_pretended() && !sharded) continue;
    PolicySteps steps = on_gpu(cache, Precision::tf32);
    steps.mode = sharded ? BevMode::tokens : BevMode::raster;
    steps.replicas = 2;
    steps.accumulation = 2;
    steps.sharded = sharded;
    compare(steps);
  }
}

TEST_CASE("algorithms are chosen before the first step, and none later") {
  for (const int64_t accumulation : {1, 3}) {
    if (is_pretended() && accumulation == 1) continue;
    const TemporaryFolder cache;
    const auto choices = [&] {
      std::map<std::string, std::string> out;
      for (const auto& entry : std::filesystem::directory_iterator(cache.file("autotune"))) {
        out[entry.path().filename().string()] = read_file(entry.path().string());
      }
      return out;
    };
    PolicySteps steps = on_gpu(cache, Precision::tf32);
    steps.mode = BevMode::raster;
    steps.accumulation = accumulation;
    steps.steps = 4;
    std::map<std::string, std::string> before;
    steps.before_step = [&](Replica&, int64_t step) {
      if (step == 0) before = choices();
    };
    steps.run();
    CHECK(before.size() == 2);
    CHECK(choices() == before);
  }
}

TEST_CASE("a warmed-up step takes no memory, recorded or not") {
  const TemporaryFolder cache;
  for (const bool graph : {false, true}) {
    PolicySteps steps = on_gpu(cache, Precision::tf32);
    steps.mode = BevMode::raster;
    steps.graph = graph;
    std::vector<size_t> free;
    steps.before_step = [&](Replica& replica, int64_t) {
      replica.device().synchronize(replica.context().stream);
      free.push_back(replica.device().memory().free);
    };
    steps.run();
    REQUIRE(free.size() > 4);
    for (size_t step = 4; step < free.size(); ++step) CHECK(free[step] == free[3]);
  }
}

}  // namespace bev::test
