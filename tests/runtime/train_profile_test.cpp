// What --profile says, against a link of which the test knows what it can hide.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

using namespace bev;
using test::contains;
using test::read_file;
using test::TemporaryFolder;
using test::TinyRun;

namespace {

constexpr int64_t layers = 16, hidden = 16;
constexpr double seconds_a_layer = 1;

/// Linear layers of which each takes a second of a test's clock in backward.
struct SlowTask final : Task {
  std::vector<Parameter*> weights;
  ManualClock& clock;

  SlowTask(ParameterStore& store, ManualClock& its_clock) : clock(its_clock) {
    for (int64_t layer = 0; layer < layers; ++layer) {
      const Shape shape{layer + 1 < layers ? hidden : test::tiny_outputs, layer > 0 ? hidden : test::tiny_inputs};
      weights.push_back(&store.declare(fmt::format("layer.{}", layer), shape, Init::normal(0.3)));
    }
  }
  Variable loss(Context& context, const Batch& batch) override {
    Variable h(batch.at("x"));
    for (Parameter* weight : weights) h = slowly(context, linear(context, h, *weight, nullptr));
    return mean_squared_error(context, h, batch.at("target"));
  }
  void validate(Context&, const Batch&, MetricSums&) override {}

 private:
  Variable slowly(Context& context, const Variable& x) {
    Tape& tape = context.tape;
    const Variable y = tape.output(x.value());
    tape.record("slowly", y, [this, &tape, d_x = x.gradient(), slot = y.gradient()] {
      clock.advance(seconds_a_layer);
      tape.adopt(d_x, Tape::take(slot));
    });
    return y;
  }
};

TinyRun run_in(const TemporaryFolder& folder, int replicas) {
  TinyRun run;
  run.replicas = replicas;
  run.validation_samples = 0;
  run.trainer.folder = folder.file("run");
  run.trainer.schedule.peak = 1e-3;
  run.trainer.profile = true;
  return run;
}

std::vector<nlohmann::json> profiles_in(const std::string& folder) {
  std::istringstream in(read_file(folder + "/metrics.jsonl"));
  std::vector<nlohmann::json> out;
  for (std::string line; std::getline(in, line);) {
    auto value = nlohmann::json::parse(line);
    if (value["event"] == "profile") out.push_back(std::move(value));
  }
  return out;
}

/// The profile of two replicas over a link that takes `communication_s` for all gradients of a step.
nlohmann::json profile_of(size_t bucket_bytes, double communication_s) {
  const TemporaryFolder folder;
  TinyRun run = run_in(folder, 2);
  run.reducer.bucket_bytes = bucket_bytes;
  for (int rank = 0; rank < 2; ++rank) run.link.clocks.push_back(std::make_shared<ManualClock>());
  // Two replicas send each byte once; a layer's matrix fills 1024 bytes, the first and the last one 512 and 256.
  run.link.bytes_per_second = (14 * 1024 + 512 + 256) / communication_s;
  run.other_task = [&](int rank, ParameterStore& store) {
    return std::make_unique<SlowTask>(store, *run.link.clocks[static_cast<size_t>(rank)]);
  };
  std::string note;
  run.hooks.note = [&](const std::string& text) { note += text; };
  run.run();
  const auto profiles = profiles_in(run.trainer.folder);
  REQUIRE(profiles.size() == 1);
  CHECK(profiles[0]["step"] == 5);
  CHECK(profiles[0]["steps"] == 4);
  CHECK(profiles[0]["first"]["communication_s"].get<double>() == doctest::Approx(communication_s).epsilon(1e-3));
  CHECK(contains(note, "profile of 4 steps"));
  CHECK(contains(note, fmt::format("{:.0f} % of the communication was hidden behind backward",
                                   100 * profiles[0]["hidden_share"].get<double>())));
  return profiles[0];
}

}  // namespace

TEST_CASE("a profile says how much of the communication was hidden") {
  const auto share = [](size_t bucket_bytes, double communication_s) {
    return profile_of(bucket_bytes, communication_s)["hidden_share"].get<double>();
  };
  const double backward = layers * seconds_a_layer;
  // All but the first layer's gradient, which is complete when nothing is left to do.
  CHECK(share(1, 0.1 * backward) == doctest::Approx(1 - 512.0 / (14 * 1024 + 512 + 256)).epsilon(1e-3));
  CHECK(share(1, 100 * backward) < 0.011);               // there is not more time than that
  CHECK(share(size_t{1} << 30, 0.1 * backward) < 1e-3);  // one bucket: nothing but the loss
}

TEST_CASE("the parts of a step are those of replica 0 and of the slowest") {
  const TemporaryFolder folder;
  TinyRun run = run_in(folder, 3);
  run.trainer.accumulation = 2;
  constexpr double pause = 0.02;
  run.before_run = [&](Trainer&, test::TinySource& source, test::TinyTask&, Replica& replica) {
    if (replica.rank() != 1) return;
    source.before_next = [&](int64_t) { std::this_thread::sleep_for(std::chrono::duration<double>(pause)); };
  };
  run.run();
  const auto profile = profiles_in(run.trainer.folder).at(0);
  CHECK(profile["steps"] == 4);
  CHECK(profile["first"]["replica"] == 0);
  const auto own = [&](const char* who) {
    double sum = 0;
    for (const char* part : {"waiting_s", "forward_s", "backward_s"}) {
      CHECK(profile[who][part].get<double>() >= 0);
      sum += profile[who][part].get<double>();
    }
    return sum;
  };
  CHECK(own("slowest") >= 2 * pause);  // two micro-batches a step, each waited for
  CHECK(own("slowest") >= own("first"));
  CHECK(profile["first"]["optimizer_s"].get<double>() > 0);
}

TEST_CASE("profiling changes nothing but what is said, and nothing is said without it") {
  const TemporaryFolder folder, other;
  for (const bool profile : {true, false}) {
    TinyRun run = run_in(profile ? folder : other, 2);
    run.trainer.profile = profile;
    run.run();
    CHECK(profiles_in(run.trainer.folder).size() == (profile ? 1 : 0));
  }
  for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"}) {
    CHECK(read_file(folder.file("run/last/") + file) == read_file(other.file("run/last/") + file));
  }
}

TEST_CASE("one replica has parts and no communication") {
  const TemporaryFolder folder;
  TinyRun run = run_in(folder, 1);
  std::string note;
  run.hooks.note = [&](const std::string& text) { note += text; };
  run.run();
  CHECK(profiles_in(run.trainer.folder).at(0)["hidden_share"].is_null());
  CHECK(contains(note, "one replica: no communication to hide"));
}
