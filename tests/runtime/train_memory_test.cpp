// The plan of a replica's memory: what it says of a model that fits or does not, and that a run takes what it says.
#include <doctest/doctest.h>

#include "runtime/train/memory_plan.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

namespace bev::test {

TEST_CASE("a model too large for the device is refused with a table and the largest micro-batch that fits") {
  ReplicaGroup group(1);
  group.run([&](int rank) {
    const auto device = make_cpu_device();
    ParameterStore store;
    TinyTask task(store, 1000);
    MemoryPlanner planner(task, store, *device, tiny_fields(DType::f32), DType::f32, {}, {}, group.host(rank));
    const MemoryPlan small = planner.plan(4), large = planner.plan(400);
    CHECK(small.order.size() == 4);
    CHECK(small.kept == large.kept);
    CHECK(small.peak < large.peak);
    CHECK(small.extent >= small.peak);
    CHECK(small.work.matmul_flop == doctest::Approx(4.0 * 2 * 1000 * (2 * 5 + 3 * 3)).epsilon(1e-9));
    CHECK(contains(large.table(), "optimizer"));
    CHECK(contains(large.table(), "weights"));
    CHECK(contains(large.table(), "net"));
    const size_t limit = planner.plan(123).extent;
    try {
      planner.plan_within(400, limit);
      FAIL("it fits");
    } catch (const OutOfMemory& error) {
      CHECK(contains(error.what(), "the largest micro-batch that fits is 123"));
      CHECK(contains(error.table(), "MiB"));
    }
    CHECK(contains(error_of(ErrorKind::runtime, [&] { planner.plan_within(400, 1 << 10); }), "not even"));
    CHECK(planner.plan_within(123, limit).extent == limit);
  });
}

TEST_CASE("the plan is what the run takes") {
  const TemporaryFolder folder;
  TinyRun run;
  run.trainer.folder = folder.file("run");
  run.trainer.epochs = 1;
  run.before_run = [](Trainer&, TinySource&, TinyTask&, Replica& replica) {
    // All that is kept is there; what is small lies beside the plan.
    CHECK(replica.context().arena->in_use() >= replica.memory().kept);
    CHECK(replica.context().arena->in_use() < replica.memory().kept + (1 << 16));
    CHECK(replica.parameters().trained().size() == 4);
    CHECK(replica.parameters().trained()[0]->name == "net.2.weight");
    CHECK_FALSE(replica.parameters().find("unused")->trainable);
  };
  run.run();
}

}  // namespace bev::test
