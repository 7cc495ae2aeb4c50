// A MoT-DP tree becomes data sets: right numbers, split by route, the same bytes after an interruption, clear errors.
#include "data/motdp/convert.h"

#include <algorithm>
#include <set>

#include "data/batch_memory.h"
#include "data/dataset.h"
#include "tests/data/motdp_tree.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;
using motdp::ConvertOptions;

namespace {

ConvertOptions options_to(const std::string& out) {
  ConvertOptions options;
  options.data = MotdpTree::data();
  options.images = MotdpTree::images();
  options.out = out;
  options.val_fraction = 0.3;
  options.shard_bytes = 300;  // several shards
  options.threads = 2;
  return options;
}

/// A copy of the tree that a test may damage.
ConvertOptions copied_tree(const TemporaryFolder& folder) {
  std::filesystem::copy(MotdpTree::root, folder.file("tree"), std::filesystem::copy_options::recursive);
  ConvertOptions options = options_to(folder.file("out"));
  options.data = folder.file("tree/data");
  options.images = folder.file("tree/images");
  return options;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::string text = read_file(path);
  for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
    lines.push_back(text.substr(0, end));
  }
  return lines;
}

std::map<std::string, std::string> files_below(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) {
      files[entry.path().lexically_relative(directory).string()] = read_file(entry.path().string());
    }
  }
  return files;
}

/// Compares every number of a split with the rules that made the tree.
void check_split(const std::string& directory, bool raster, bool vl) {
  const auto dataset = Dataset::open(directory);
  const auto sources = lines_of(directory + "/sources.txt");
  REQUIRE(static_cast<int64_t>(sources.size()) == dataset->size());
  Batch batch = allocate_batch(dataset->fields(), dataset->size(), plain_host_memory());
  for (int64_t b = 0; b < batch.size; ++b) batch.samples[static_cast<size_t>(b)] = b;
  dataset->gather(batch, 0, batch.size);
  CHECK((batch.find("gen_vit_tokens") != nullptr) == vl);
  for (int64_t b = 0; b < batch.size; ++b) {
    const std::string& source = sources[static_cast<size_t>(b)];  // "train/r0_3.pkl"
    const size_t at = source.find("/r");
    REQUIRE(at != std::string::npos);
    const int64_t route = source[at + 2] - '0', now = source[at + 4] - '0';
    CHECK(dataset->number(b, "route") == route);
    const auto check = [&](const char* field, int64_t count, const auto& expected) {
      using T = decltype(expected(0));
      for (int64_t i = 0; i < count; ++i) REQUIRE(batch.at(field).data<T>()[b * count + i] == expected(i));
    };
    check("ego_status", 56, [&](int64_t i) { return MotdpTree::state(route, now, i / 14, i % 14); });
    check("agent_pos", 12, [&](int64_t i) { return MotdpTree::value(7, route, now, i); });
    if (vl) {
      check("gen_vit_tokens", 40, [&](int64_t i) { return MotdpTree::half(10, route, now, i); });
      CHECK(batch.at("reasoning_query_tokens").shape() == Shape{batch.size, 7, 8});
      constexpr int64_t named[] = {3, 0, 5};  // as many of these rows as the route's number and one
      check("reasoning_query_tokens", 56, [&](int64_t i) {
        return i / 8 <= route ? MotdpTree::half(11, route, now, named[i / 8] * 8 + i % 8) : uint16_t{0};
      });
    }
    if (raster) {
      check("lidar_bev", 4 * 768,
            [&](int64_t i) { return MotdpTree::pixel(route, now - 3 + i / 768, i / 256 % 3, i / 16 % 16, i % 16); });
    } else {
      check("lidar_token", 4 * 32, [&](int64_t i) { return MotdpTree::value(9, route, now - 3 + i / 32, i % 32); });
    }
  }
}

}  // namespace

TEST_CASE("MoT-DP conversion: every number arrives, in either mode, with and without vision-language tokens") {
  for (const bool raster : {false, true}) {
    for (const bool vl : {true, false}) {
      const TemporaryFolder folder;
      ConvertOptions options = options_to(folder.file("out"));
      options.mode = raster ? motdp::Mode::raster : motdp::Mode::tokens;
      options.vl = vl;
      int64_t last = 0;
      const auto report = motdp::convert(options, {}, [&](int64_t done, int64_t total) {
        CHECK(done == ++last);
        CHECK(done <= total);
      });
      CHECK(last == 6 + 15);  // samples and frames
      CHECK(report.shards_kept == 0);
      CHECK(report.shards_written > 10);
      check_split(folder.file("out/train"), raster, vl);
      check_split(folder.file("out/val"), raster, vl);
      CHECK(Dataset::open(folder.file("out/train"))->size() == 4);
      CHECK(Dataset::open(folder.file("out/train"))->info().frames == 10);  // each stored once
      CHECK(lines_of(folder.file("out/routes.txt"))[2] == "Town02/data/Route_0");
    }
  }
}

TEST_CASE("MoT-DP conversion: splits are by route, and repeat") {
  std::set<std::string> drawn;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ConvertOptions options = options_to("unused");
    options.seed = seed;
    const motdp::Plan plan = motdp::make_plan(options), again = motdp::make_plan(options);
    REQUIRE(plan.splits.size() == 2);
    CHECK(plan.shared_routes == 0);
    std::set<std::string> routes[2];
    for (const int i : {0, 1}) {
      CHECK(plan.splits[i].digest == again.splits[i].digest);
      for (const auto& sample : plan.splits[i].samples) routes[i].insert(sample.sample.route);
    }
    CHECK(routes[0].size() == 2);
    REQUIRE(routes[1].size() == 1);
    drawn.insert(*routes[1].begin());
  }
  CHECK(drawn.size() == 3);

  ConvertOptions given = options_to("unused");
  given.split = motdp::Split::given;
  const motdp::Plan plan = motdp::make_plan(given);
  REQUIRE(plan.splits.size() == 2);
  CHECK(plan.splits[1].samples.size() == 2);
  CHECK(plan.splits[1].samples[0].source == "val/r2_3.pkl");
  ConvertOptions all = options_to("unused");
  all.val_fraction = 0;
  CHECK(motdp::make_plan(all).splits.size() == 1);
}

TEST_CASE("MoT-DP conversion: a tree whose splits share routes is reported") {
  const TemporaryFolder folder;
  ConvertOptions options = copied_tree(folder);
  options.split = motdp::Split::given;
  std::filesystem::rename(options.data + "/train/r0_4.pkl", options.data + "/val/r0_4.pkl");
  CHECK(motdp::make_plan(options).shared_routes == 1);
}

TEST_CASE("MoT-DP conversion: goes on after an interruption, with the same bytes") {
  const TemporaryFolder folder;
  motdp::convert(options_to(folder.file("whole")));
  const auto whole = files_below(folder.file("whole"));

  ConvertOptions options = options_to(folder.file("parts"));
  options.threads = 1;
  struct Interrupt {};
  CHECK_THROWS_AS(motdp::convert(options, {},
                                 [](int64_t done, int64_t) {
                                   if (done == 9) throw Interrupt();
                                 }),
                  Interrupt);
  const auto left = files_below(folder.file("parts"));
  CHECK(left.size() > 3);
  CHECK_FALSE(left.contains("train/dataset.json"));
  // A shard of another conversion, one that is damaged, and one too many.
  write_file(folder.file("parts/train/samples-00000.safetensors"),
             left.at("train/samples-00000.safetensors").substr(0, 99));
  write_file(folder.file("parts/train/samples-00099.safetensors"), left.at("train/samples-00001.safetensors"));
  const auto report = motdp::convert(options);
  CHECK(report.shards_kept > 2);
  CHECK(report.shards_written > 2);
  CHECK(files_below(folder.file("parts")) == whole);

  const auto once_more = motdp::convert(options);
  CHECK(once_more.shards_written == 0);
  CHECK(files_below(folder.file("parts")) == whole);
  std::filesystem::remove(folder.file("parts/val/dataset.json"));  // stopped between the splits
  CHECK(motdp::convert(options).shards_written == 0);
  CHECK(files_below(folder.file("parts")) == whole);

  options.vl = false;
  CHECK(contains(error_of(ErrorKind::usage, [&] { motdp::convert(options); }), "already holds another data set"));
}

TEST_CASE("MoT-DP conversion: what is damaged or missing is named, or skipped and counted") {
  const auto failing = [](const std::string& expected, bool can_skip, const auto& damage) {
    const TemporaryFolder folder;
    ConvertOptions options = copied_tree(folder);
    damage(options);
    const std::string message = error_of(ErrorKind::data, [&] { motdp::convert(options); });
    CHECK_MESSAGE(contains(message, expected), message);
    CHECK_FALSE(std::filesystem::exists(options.out + "/train/dataset.json"));
    CHECK_FALSE(std::filesystem::exists(options.out + "/val/dataset.json"));
    if (!can_skip) return;
    options.skip_bad = true;
    const auto report = motdp::convert(options);
    REQUIRE_FALSE(report.plan.skipped.empty());
    CHECK(contains(report.plan.skipped[0], expected));
  };
  failing("r1_4.pkl: ", true, [](const auto& o) { std::filesystem::resize_file(o.data + "/train/r1_4.pkl", 500); });
  failing("vqa/0003.pt: cannot be found; train/r0_3.pkl needs it", true,
          [](const auto& o) { std::filesystem::remove(o.images + "/Town01/data/Route_0/vqa/0003.pt"); });
  failing("0004_token.pt: cannot be found", true, [](const auto& o) {
    std::filesystem::remove(o.images + "/Town02/data/Route_0/lidar_bev_features/0004_token.pt");
  });
  failing("0002_token.pt: ", false, [](const auto& o) {
    std::filesystem::resize_file(o.images + "/Town01/data/Route_1/lidar_bev_features/0002_token.pt", 300);
  });
  failing("expected BF16 [5, 8]", false, [](const auto& o) {  // another file with other sizes
    const std::string vqa = o.images + "/Town01/data/Route_1/vqa/0004.pt";
    std::string bytes = read_file("tests/data/files/small_vqa.pt");
    write_file(vqa, bytes);
  });
  failing("is not finite", false, [](const auto& o) {
    write_file(o.images + "/Town01/data/Route_1/lidar_bev_features/0003_token.pt",
               read_file("tests/data/files/nan_token.pt"));
  });

  const TemporaryFolder folder;
  ConvertOptions options = options_to(folder.file("out"));
  options.data = folder.path().string();
  CHECK(contains(error_of(ErrorKind::usage, [&] { motdp::convert(options); }), "holds no train/*.pkl"));
  options = options_to(folder.file("out"));
  options.horizon = 7;
  CHECK(contains(error_of(ErrorKind::data, [&] { motdp::convert(options); }), "expected at least 7"));
  options.horizon = 4;
  motdp::convert(options);
  CHECK(find_field(Dataset::open(options.out + "/train")->info().sample_fields, "agent_pos")->shape == Shape{4, 2});
}
