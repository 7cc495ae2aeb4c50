// The training loop from outside: what a run leaves behind, what it reports, and how it ends.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/support/run_folder.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

using namespace bev;
using test::checkpoints_in;
using test::contains;
using test::error_of;
using test::lines_of;
using test::read_file;
using test::TemporaryFolder;
using test::tiny;
using test::TinyRun;

namespace {

/// All files of a checkpoint as one string.
std::string contents(const std::string& checkpoint) {
  std::string out;
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}) {
    out += read_file(checkpoint + "/" + name);
  }
  return out;
}

}  // namespace

TEST_CASE("a run learns, reports and leaves its checkpoints and links") {
  const TemporaryFolder folder;
  TinyRun run = tiny(folder, 30);
  run.trainer.save_epochs = 10;
  run.trainer.validate_epochs = 5;
  run.trainer.keep_checkpoints = 2;
  std::vector<Progress> progress;
  std::vector<ValidationReport> validations;
  run.hooks.progress = [&](const Progress& p) { progress.push_back(p); };
  run.hooks.validated = [&](const ValidationReport& v) { validations.push_back(v); };
  const TrainingOutcome outcome = run.run();
  CHECK(outcome.end == TrainingOutcome::End::complete);
  CHECK(outcome.state.step == 150);

  CHECK(progress.size() == 90);  // every second of 150 steps, and the ends of the 15 odd epochs
  CHECK(progress.back().step == 150);
  CHECK(progress.back().steps == 150);
  CHECK(progress.back().epoch == 30);
  CHECK(progress.back().loss < 0.5 * progress.front().loss);
  CHECK(progress.back().learning_rate == doctest::Approx(1e-3));
  CHECK(progress.back().samples_per_second > 0);
  CHECK(progress.back().seconds_left == 0);
  CHECK(validations.size() == 6);
  CHECK(validations.back().metrics[0].second < validations.front().metrics[0].second);

  const std::string at = run.trainer.folder;
  CHECK(std::filesystem::read_symlink(at + "/last") == "step_00000150");
  CHECK(lines_of(at + "/metrics.jsonl", "train").size() == progress.size());
  CHECK(lines_of(at + "/metrics.jsonl", "validation").size() == 6);
  const std::string best = fmt::format("step_{:08}", outcome.state.best_step);
  CHECK(std::filesystem::read_symlink(at + "/best") == best);
  for (const std::string& name : checkpoints_in(at)) CHECK_FALSE(contains(name, "partial"));
  verify_checkpoint(at + "/last");
  CHECK(read_training_state(at + "/last").configuration == "a: 1\n");
}

TEST_CASE("forty steps in one go, and seventeen, a break and the rest: the same files, byte for byte") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const int replicas : {1, 2}) {
      CAPTURE(replicas);
      const TemporaryFolder one, two;
      const auto run_of = [&](const TemporaryFolder& folder) {
        TinyRun run = tiny(folder, 8);
        run.dtype = dtype;
        run.replicas = replicas;
        run.trainer.accumulation = 2;
        run.trainer.save_steps = 17;
        run.trainer.save_epochs = 3;
        run.trainer.validate_epochs = 2;
        return run;
      };
      TinyRun whole = run_of(one), first = run_of(two), second = run_of(two);
      CHECK(whole.run().state.step == 40);
      // Ends as a kill would: in the middle of step 20, whose batches have been handed out.
      first.before_run = [](Trainer&, test::TinySource& source, test::TinyTask&, Replica&) {
        source.before_next = [](int64_t step) {
          if (step == 19) fail(ErrorKind::runtime, "killed");
        };
      };
      CHECK(contains(error_of(ErrorKind::runtime, [&] { first.run(); }), "killed"));
      second.resume = CheckpointFolder::newest_valid(second.trainer.folder, [](const std::string&) {});
      CHECK(contains(second.resume, "step_00000017"));
      CHECK(second.run().state.step == 40);
      CHECK(contents(one.file("run/last")) == contents(two.file("run/last")));
      // Numbers that come from the clock aside, the log is that of one run too.
      for (const char* event : {"train", "validation"}) {
        auto a = lines_of(one.file("run/metrics.jsonl"), event), b = lines_of(two.file("run/metrics.jsonl"), event);
        REQUIRE(a.size() == b.size());
        for (size_t i = 0; i < a.size(); ++i) {
          for (auto* line : {&a[i], &b[i]}) {
            for (const char* key : {"samples_per_second", "waiting_share", "seconds"}) line->erase(key);
          }
          // The first line after the break averages over fewer steps.
          if (a[i]["step"] != 18) CHECK(a[i] == b[i]);
        }
      }
    }
  }
}

TEST_CASE("replicas compute what one computes on the union, through the whole loop") {
  for (const int64_t accumulation : {1, 3}) {
    std::vector<std::vector<double>> losses;
    std::vector<double> metrics;
    for (const int replicas : {1, 2, 4}) {
      const TemporaryFolder folder;
      TinyRun run = tiny(folder, 3);
      run.dtype = DType::f64;
      run.replicas = replicas;
      run.trainer.accumulation = accumulation;
      run.trainer.log_steps = 1;
      run.trainer.agreement_steps = 4;
      auto& own = losses.emplace_back();
      run.hooks.progress = [&](const Progress& p) { own.push_back(p.loss); };
      run.hooks.validated = [&](const ValidationReport& v) { metrics.push_back(v.metrics[0].second); };
      run.run();
      CHECK(own.size() == 15);
      for (size_t i = 0; i < own.size(); ++i) CHECK(own[i] == doctest::Approx(losses[0][i]).epsilon(1e-12));
    }
    REQUIRE(metrics.size() == 9);
    for (size_t i = 0; i < 9; ++i) CHECK(metrics[i] == doctest::Approx(metrics[i % 3]).epsilon(1e-11));
  }
}

TEST_CASE("a sharded optimiser trains the same weights in less memory, and its checkpoints are anybody's") {
  const TemporaryFolder folder;
  const auto run_of = [&](const std::string& name, int replicas, bool sharded) {
    TinyRun run = tiny(folder, 4);
    run.trainer.folder = folder.file(name);
    run.dtype = DType::f64;
    run.replicas = replicas;
    run.reducer.sharded = sharded;
    run.hidden = 200;
    return run;
  };
  const auto file_of = [&](const std::string& name, const char* file) {
    return SafetensorsFile::open(folder.file(name) + "/last/" + file);
  };
  std::vector<double> metrics;
  size_t kept[2] = {};
  for (const bool sharded : {false, true}) {
    TinyRun run = run_of(sharded ? "sharded" : "whole", 4, sharded);
    run.hooks.validated = [&](const ValidationReport& v) { metrics.push_back(v.metrics[0].second); };
    run.before_run = [&](Trainer&, test::TinySource&, test::TinyTask&, Replica& replica) {
      if (replica.rank() == 0) kept[sharded] = replica.memory().kept;
    };
    run.run();
  }
  REQUIRE(metrics.size() == 8);
  for (size_t i = 0; i < 4; ++i) CHECK(metrics[i] == doctest::Approx(metrics[4 + i]).epsilon(1e-11));
  CHECK(kept[1] < 0.8 * kept[0]);  // of weights, gradients, two moments and averages three are sharded, in part
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"}) {
    const auto a = file_of("whole", name), b = file_of("sharded", name);
    REQUIRE(a.entries().size() == b.entries().size());
    for (const auto& entry : a.entries()) {
      const Tensor x = a.tensor(entry), y = b.tensor(entry.name);
      for (int64_t i = 0; i < x.size(); ++i) {
        REQUIRE(x.data<double>()[i] == doctest::Approx(y.data<double>()[i]).epsilon(1e-10));
      }
    }
  }
  // Cut in the middle of an epoch and taken up by the same number: bit for bit, but for running statistics, whose mean
  // over replicas was taken once more. By others: the same run.
  TinyRun cut = run_of("cut", 4, true), rest = run_of("cut", 4, true);
  cut.trainer.max_steps = 7;
  cut.run();
  std::filesystem::copy(folder.file("cut"), folder.file("other"),
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
  rest.resume = folder.file("cut/last");
  rest.run();
  for (const char* name : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"}) {
    const auto a = file_of("sharded", name), b = file_of("cut", name);
    for (const auto& entry : a.entries()) {
      const Tensor p = a.tensor(entry), q = b.tensor(entry.name);
      if (entry.name != "running_mean") CHECK(std::memcmp(p.raw(), q.raw(), p.bytes()) == 0);
      for (int64_t i = 0; i < p.size(); ++i) {
        CHECK(p.data<double>()[i] == doctest::Approx(q.data<double>()[i]).epsilon(1e-12));
      }
    }
  }
  TinyRun other = run_of("other", 2, false);
  other.resume = folder.file("other/last");
  other.run();
  const Tensor x = file_of("sharded", "ema.safetensors").tensor("net.0.weight");
  const Tensor y = file_of("other", "ema.safetensors").tensor("net.0.weight");
  for (int64_t i = 0; i < x.size(); ++i) {
    CHECK(x.data<double>()[i] == doctest::Approx(y.data<double>()[i]).epsilon(1e-9));
  }
}

TEST_CASE("validation is exact: sums and counts, padding left out") {
  // Shares of 4, 3 and 3 samples in batches of 4: every replica pads or not.
  const TemporaryFolder folder;
  double of_one = 0;
  for (const int replicas : {1, 3}) {
    TinyRun run = tiny(folder, 1);
    run.trainer.folder = folder.file(fmt::format("run{}", replicas));
    run.dtype = DType::f64;
    run.replicas = replicas;
    double value = 0;
    run.hooks.validated = [&](const ValidationReport& v) { value = v.metrics[0].second; };
    run.run();
    CHECK(value > 0);
    if (replicas == 1) of_one = value;
    CHECK(value == doctest::Approx(of_one).epsilon(1e-11));
  }
}

TEST_CASE("training ends early when validation gets no better, and a NaN is never the best") {
  const TemporaryFolder folder;
  TinyRun run = tiny(folder, 20);
  run.trainer.patience = 3;
  run.trainer.save_epochs = 0;
  std::vector<ValidationReport> reports;
  std::vector<double> scales = {9, 1, std::nan(""), 50, 20, 1};
  std::vector<test::TinyTask*> tasks;
  run.before_run = [&](Trainer&, test::TinySource&, test::TinyTask& task, Replica&) {
    tasks = {&task};
    task.metric_scale = std::nan("");
  };
  run.hooks.validated = [&](const ValidationReport& report) {
    if (reports.size() < scales.size()) tasks[0]->metric_scale = scales[reports.size()];
    reports.push_back(report);
  };
  const TrainingOutcome outcome = run.run();
  CHECK(outcome.end == TrainingOutcome::End::early);
  REQUIRE(reports.size() == 6);
  CHECK_FALSE(reports[0].is_best);  // NaN, though it is the first
  CHECK(reports[1].is_best);
  CHECK(reports[2].is_best);
  CHECK_FALSE(reports[3].is_best);  // NaN
  CHECK_FALSE(reports[4].is_best);
  CHECK_FALSE(reports[5].is_best);
  CHECK(outcome.state.step == 30);
  CHECK(outcome.state.best_step == 15);
  const std::string at = run.trainer.folder;
  CHECK(std::filesystem::read_symlink(at + "/best") == "step_00000015");
  CHECK(std::filesystem::read_symlink(at + "/last") == "step_00000030");
  CHECK(lines_of(at + "/metrics.jsonl", "validation")[0]["L2_avg"].is_null());

  // Going on from there ends at once: patience is part of the state.
  run.resume = at + "/last";
  reports.clear();
  CHECK(run.run().end == TrainingOutcome::End::early);
  CHECK(reports.empty());
}

TEST_CASE("max_steps is exact, and the schedule does not depend on it") {
  const TemporaryFolder folder;
  TinyRun run = tiny(folder, 4);
  run.trainer.log_steps = 1;
  std::vector<double> rates;
  run.hooks.progress = [&](const Progress& p) { rates.push_back(p.learning_rate); };
  run.trainer.max_steps = 13;
  CHECK(run.run().state.step == 13);
  const std::vector<double> cut = rates;
  rates.clear();
  run.trainer.max_steps = 0;
  run.trainer.folder = folder.file("whole");
  CHECK(run.run().state.step == 20);
  REQUIRE(cut.size() == 13);
  CHECK(std::equal(cut.begin(), cut.end(), rates.begin()));
  // And on from the cut to the end.
  run.trainer.folder = folder.file("run");
  run.resume = folder.file("run/last");
  CHECK(run.run().state.step == 20);
  // Nothing is left to do.
  run.resume = folder.file("run/last");
  CHECK(run.run().state.step == 20);
}

TEST_CASE("who is asked to end finishes the step, writes a checkpoint and can go on") {
  for (const int replicas : {1, 3}) {
    CAPTURE(replicas);
    const TemporaryFolder one, two;
    TinyRun whole = tiny(one, 4), cut = tiny(two, 4);
    whole.replicas = cut.replicas = replicas;
    whole.run();
    StopRequest stop;
    cut.stop = &stop;
    cut.before_run = [&](Trainer&, test::TinySource& source, test::TinyTask&, Replica& replica) {
      source.before_next = [&stop, rank = replica.rank()](int64_t step) {
        if (rank == 0 && step == 6) stop.ask();
      };
    };
    const TrainingOutcome outcome = cut.run();
    CHECK(outcome.end == TrainingOutcome::End::asked);
    CHECK(outcome.state.step == (replicas == 1 ? 7 : 8));
    TinyRun rest = tiny(two, 4);
    rest.replicas = replicas;
    rest.resume = CheckpointFolder::newest_valid(rest.trainer.folder, [](const std::string&) {});
    CHECK(rest.run().state.step == 20);
    if (replicas == 1) CHECK(contents(one.file("run/last")) == contents(two.file("run/last")));
  }
}
