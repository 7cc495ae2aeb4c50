// The training loop when something goes wrong: what stops it, what is skipped, and what is said.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/forgetful_communicator.h"
#include "tests/support/run_folder.h"

using namespace bev;
using test::checkpoints_in;
using test::contains;
using test::error_of;
using test::lines_of;
using test::TemporaryFolder;
using test::tiny;
using test::TinyRun;

TEST_CASE("a loss that is not finite stops the run with step and samples, or is skipped and counted") {
  const TemporaryFolder folder;
  for (const int replicas : {1, 3}) {
    CAPTURE(replicas);
    TinyRun run = tiny(folder, 2);
    run.trainer.folder = folder.file(fmt::format("stop{}", replicas));
    run.replicas = replicas;
    run.poisoned = {(17 * 7) % 60};  // in the second step of the first epoch
    const std::string message = error_of(ErrorKind::diverged, [&] { run.run(); });
    CHECK(contains(message, "step 2: loss nan"));
    CHECK(contains(message, "59"));
    const auto stopped = lines_of(run.trainer.folder + "/metrics.jsonl", "skipped");
    REQUIRE(stopped.size() == 1);
    const auto samples = stopped[0]["samples"].get<std::vector<int64_t>>();
    CHECK(samples.size() == static_cast<size_t>(12 / replicas));  // the micro-batch that holds it
    CHECK(std::count(samples.begin(), samples.end(), 59) == 1);

    run.trainer.folder = folder.file(fmt::format("skip{}", replicas));
    run.trainer.on_nonfinite = NonFinitePolicy::skip;
    std::vector<std::string> notes;
    run.hooks.note = [&](const std::string& note) { notes.push_back(note); };
    std::vector<Progress> progress;
    run.hooks.progress = [&](const Progress& p) { progress.push_back(p); };
    CHECK(run.run().state.step == 10);
    CHECK(notes.size() == 2);  // once an epoch
    CHECK(progress.back().skipped == 2);
    CHECK(std::isfinite(progress.back().loss));
    const auto skipped = lines_of(run.trainer.folder + "/metrics.jsonl", "skipped");
    CHECK(skipped.size() == 2);
    CHECK(skipped[0]["loss"].is_null());

    run.trainer.folder = folder.file(fmt::format("bound{}", replicas));
    run.trainer.skips_at_most = 1;
    CHECK(contains(error_of(ErrorKind::diverged, [&] { run.run(); }), "2 steps have been skipped, at most 1 may be"));
  }
}

TEST_CASE("a trainer that fails has ended the others' collectives before anything of it is given back") {
  const TemporaryFolder folder;
  TinyRun run = tiny(folder, 1);
  run.replicas = 2;
  bool ended = false;
  run.before_run = [&](Trainer& trainer, test::TinySource& source, test::TinyTask&, Replica& replica) {
    if (replica.rank() == 0) return;
    source.before_next = [](int64_t step) {
      if (step == 2) fail(ErrorKind::data, "shard 7 is damaged");
    };
    try {
      trainer.run();
    } catch (const Error&) {
      float x = 1;
      const auto collective = [&] { replica.gradients().all_reduce(&x, 1, DType::f32, "loss"); };
      CHECK(contains(error_of(ErrorKind::runtime, collective), "shard 7 is damaged"));
      ended = true;
      throw;
    }
  };
  CHECK(contains(error_of(ErrorKind::data, [&] { run.run(); }), "replica 1 (step 2"));
  CHECK(ended);
}

TEST_CASE("a bucket that one replica forgets to reduce is named after the first step, clipped gradients or not") {
  const TemporaryFolder folder;
  TinyRun run = tiny(folder, 1);
  run.replicas = 2;
  run.optimizer.max_gradient_norm = 0.01;
  run.communicator = [](int rank, std::shared_ptr<Communicator> inner) -> std::shared_ptr<Communicator> {
    return std::make_shared<test::ForgetfulCommunicator>(std::move(inner), rank == 1 ? "all_reduce of bucket 1" : "");
  };
  int64_t steps = 0;
  run.hooks.progress = [&](const Progress& progress) { steps = progress.step; };
  const std::string message = error_of(ErrorKind::disagreement, [&] { run.run(); });
  CHECK(contains(message, "replicas disagree in the first step: replica 1 differs from the others in the gradient of"));
  CHECK(contains(message, "net.0.bias (1 of 4 tensors differ)"));
  CHECK(steps == 0);
  CHECK(checkpoints_in(run.trainer.folder) == std::vector<std::string>{"metrics.jsonl"});
}
