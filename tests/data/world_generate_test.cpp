// The generated data set as files: the same for the same seed on any number of threads, splits that share nothing, and
// readable as any other.
#include "data/world/generate.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <set>

#include "data/dataset.h"
#include "data/verify.h"
#include "tests/support/temporary_folder.h"

namespace bev::world {
namespace {

GenerateOptions small(const std::string& directory) {
  return {.directory = directory,
          .world = world_settings("obstacle-rich"),
          .recording = {.seconds = 8, .raster = 32},
          .seed = 3,
          .train_routes = 7,
          .val_routes = 3,
          .pictures = 2,
          .threads = 1};
}

/// Every file below a folder, by its path in it.
std::map<std::string, std::string> contents(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    files[std::filesystem::relative(entry.path(), directory).string()] = test::read_file(entry.path().string());
  }
  return files;
}

TEST_CASE("one seed gives the same bytes on any number of threads, another seed others") {
  const test::TemporaryFolder folder;
  GenerateOptions options = small(folder.file("one"));
  int64_t told = 0;
  const GenerateReport report = generate(options, [&](int64_t done, int64_t total) {
    CHECK(done == ++told);
    CHECK(total == 10);
  });
  CHECK(told == 10);
  const auto one = contents(folder.file("one"));
  CHECK(one.size() == 2 * 3 + 2);
  for (const int threads : {2, 3}) {
    options.threads = threads;
    options.directory = folder.file("threads" + std::to_string(threads));
    generate(options);
    CHECK(contents(options.directory) == one);
  }
  options.seed = 4;
  options.directory = folder.file("other");
  generate(options);
  const auto other = contents(folder.file("other"));
  CHECK(other.at("train/samples-00000.safetensors") != one.at("train/samples-00000.safetensors"));
  CHECK(other.at("val/frames-00000.safetensors") != one.at("val/frames-00000.safetensors"));
  CHECK(report.train_samples > 7 * 5);
  CHECK(report.figures.samples == report.val_samples);
}

TEST_CASE("the set is sound, and no route is in both splits") {
  const test::TemporaryFolder folder;
  const GenerateOptions options = small(folder.file("set"));
  const GenerateReport report = generate(options);
  std::set<int64_t> routes[2];
  int which = 0;
  for (const char* split : {"train", "val"}) {
    const auto dataset = Dataset::open(options.directory + "/" + split);
    CHECK(verify_dataset(*dataset, 1).problems.empty());
    CHECK(dataset->size() == (which == 0 ? report.train_samples : report.val_samples));
    CHECK(dataset->info().frames == (which == 0 ? report.train_frames : report.val_frames));
    CHECK(dataset->info().frames < dataset->size() + 4 * dataset->size());
    for (int64_t sample = 0; sample < dataset->size(); ++sample) {
      routes[which].insert(dataset->number(sample, "route"));
      CHECK(dataset->frames(sample).size() == 4);
    }
    std::map<std::string, std::string> shapes;
    for (const FieldSpec& field : dataset->fields())
      shapes[field.name] = std::string(name_of(field.dtype)) + field.shape.text();
    CHECK(shapes == std::map<std::string, std::string>{{"ego_status", "F32[4, 14]"},
                                                       {"agent_pos", "F32[6, 2]"},
                                                       {"gen_vit_tokens", "BF16[8, 32]"},
                                                       {"reasoning_query_tokens", "BF16[3, 32]"},
                                                       {"lidar_bev", "U8[4, 3, 32, 32]"}});
    ++which;
  }
  CHECK(routes[0].size() == 7);
  CHECK(routes[1].size() == 3);
  for (const int64_t route : routes[1]) CHECK(routes[0].count(route) == 0);
}

TEST_CASE("a validation route does not depend on how many routes train") {
  const test::TemporaryFolder folder;
  GenerateOptions options = small(folder.file("a"));
  options.pictures = 0;
  generate(options);
  options.train_routes = 2;
  options.directory = folder.file("b");
  generate(options);
  CHECK(contents(folder.file("a/val")) != std::map<std::string, std::string>{});
  CHECK(test::read_file(folder.file("a/val/frames-00000.safetensors")) ==
        test::read_file(folder.file("b/val/frames-00000.safetensors")));
  CHECK_FALSE(std::filesystem::exists(folder.file("a/pictures")));
}

TEST_CASE("options that make no sense, and a set that exists, are refused") {
  const test::TemporaryFolder folder;
  const auto refused = [&](auto change, const char* part) {
    GenerateOptions options = small(folder.file("refused"));
    change(options);
    CHECK(test::contains(test::error_of(ErrorKind::usage, [&] { generate(options); }), part));
  };
  refused([](GenerateOptions& o) { o.recording.raster = 65; }, "multiple of 32");
  refused([](GenerateOptions& o) { o.recording.seconds = 2; }, "--seconds");
  refused([](GenerateOptions& o) { o.train_routes = 0; }, "--train-routes 0");
  refused([](GenerateOptions& o) { o.val_routes = 2'000'000; }, "--val-routes");
  refused([](GenerateOptions& o) { o.threads = 0; }, "--threads");
  refused([](GenerateOptions& o) { o.directory.clear(); }, "--out");
  const GenerateOptions options = small(folder.file("twice"));
  generate(options);
  const auto before = contents(options.directory);
  CHECK(test::contains(test::error_of(ErrorKind::usage, [&] { generate(options); }), "already holds"));
  CHECK(contents(options.directory) == before);
}

}  // namespace
}  // namespace bev::world
