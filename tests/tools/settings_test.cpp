#include "tools/common/settings.h"

#include <doctest/doctest.h>

namespace bev {

namespace {

enum class Colour { red, green };

struct Bound {
  int64_t batch = 8;
  double rate = 1e-3;
  bool shuffle = true;
  std::string path = "data";
  std::array<double, 2> betas = {0.9, 0.999};
  std::optional<int64_t> global;
  Colour colour = Colour::red;
  Settings settings;

  Bound() {
    settings.bind("loader.batch_size", batch, "samples a GPU");
    settings.bind("loader.shuffle", shuffle, "in random order");
    settings.bind("optimizer.lr", rate, "learning rate");
    settings.bind("optimizer.betas", betas, "decay of the moments");
    settings.bind("training.path", path, "where the data is");
    settings.bind("training.global_batch_size", global, "samples a step");
    settings.bind("training.colour", colour, {{"red", Colour::red}, {"green", Colour::green}}, "");
    settings.alias("batch", "loader.batch_size");
    settings.legacy("eval.", "not used here");
    settings.fixed("policy.time_as_cond", "true", "the policy is always conditioned on time");
    settings.refuse("logging.api_key", "set it in the environment instead");
  }
  std::string error_of(const std::string& text) {
    try {
      settings.read_text(text, "test.yaml");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::usage);
      return error.what();
    }
    return "";
  }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("settings read what a file gives and keep the defaults of the rest") {
  Bound bound;
  bound.settings.read_text(
      "loader: {batch_size: 32}\noptimizer:\n  lr: 1e-7\n  betas: [0.8, 0.9]\ntraining: {colour: green}\n",
      "test.yaml");
  CHECK(bound.batch == 32);
  CHECK(bound.rate == 1e-7);
  CHECK(bound.betas[0] == 0.8);
  CHECK(bound.shuffle);
  CHECK(bound.colour == Colour::green);
  CHECK(!bound.global);
  CHECK(bound.settings.given("loader.batch_size"));
  CHECK(!bound.settings.given("loader.shuffle"));
}

TEST_CASE("an unknown key is refused with its line and the nearest known one") {
  const std::string slip = Bound().error_of("loader:\n  batch_siez: 3\n");
  CHECK(contains(slip, "line 2"));
  CHECK(contains(slip, "loader.batch_size"));
  CHECK(contains(Bound().error_of("training: {betas: [1, 2]}"), "optimizer.betas"));
  CHECK(contains(Bound().error_of("loader: 3"), "section"));
}

TEST_CASE("a value of another type, an unknown choice and a wrong length are refused by name") {
  CHECK(contains(Bound().error_of("loader: {batch_size: many}"), "loader.batch_size is many"));
  CHECK(contains(Bound().error_of("training: {colour: blue}"), "red, green"));
  CHECK(contains(Bound().error_of("optimizer: {betas: [1]}"), "expected 2"));
  CHECK(contains(Bound().error_of("optimizer: {lr: .nan}"), "not a number"));
  CHECK(contains(Bound().error_of("a: [unclosed"), "not valid YAML"));
}

TEST_CASE("two spellings of one key must agree, but the command line wins") {
  CHECK(contains(Bound().error_of("batch: 4\nloader: {batch_size: 5}\n"), "contradicts"));
  Bound bound;
  CHECK(bound.error_of("batch: 4\nloader: {batch_size: 4}\n").empty());
  bound.settings.override_with("batch=6");
  CHECK(bound.batch == 6);
  bound.settings.override_with("training.path=elsewhere");
  CHECK(bound.path == "elsewhere");
  CHECK_THROWS_AS(bound.settings.override_with("no equals sign"), Error);
  CHECK_THROWS_AS(bound.settings.override_with("loader.nonsense=1"), Error);
}

TEST_CASE("legacy keys are noted, fixed ones checked, credentials refused") {
  Bound bound;
  CHECK(bound.error_of("eval: {episodes: 3}\npolicy: {time_as_cond: true}\n").empty());
  REQUIRE(bound.settings.notes().size() == 1);
  CHECK(contains(bound.settings.notes()[0], "eval"));
  CHECK(contains(Bound().error_of("policy: {time_as_cond: false}"), "only true is known"));
  CHECK(contains(Bound().error_of("logging: {api_key: secret}"), "environment"));
}

TEST_CASE("the printed tree reads back as the same") {
  Bound bound;
  bound.settings.read_text("loader: {batch_size: 5}\ntraining: {path: \"a \\\"b\\\"\", global_batch_size: 40}\n", "t");
  Bound again;
  again.settings.read_text(bound.settings.print(), "printed");
  CHECK(again.settings.print() == bound.settings.print());
  CHECK(again.batch == 5);
  CHECK(again.path == "a \"b\"");
  CHECK(again.global == 40);
}

}  // namespace bev
