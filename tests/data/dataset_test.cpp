// Data sets: what is written is gathered again, the same rows give the same bytes, and every kind of damage is named.
#include "data/dataset.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "data/batch_memory.h"
#include "data/finite.h"
#include "data/statistics.h"
#include "data/verify.h"
#include "runtime/file/safetensors.h"
#include "tests/data/example_dataset.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;

namespace {

Batch gather(const Dataset& dataset, const std::vector<int64_t>& samples) {
  Batch batch = allocate_batch(dataset.fields(), static_cast<int64_t>(samples.size()), plain_host_memory());
  batch.samples = samples;
  dataset.gather(batch, 0, batch.size);
  return batch;
}

void replace_in_file(const std::string& path, const std::string& from, const std::string& to) {
  std::string text = read_file(path);
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  write_file(path, text.replace(at, from.size(), to));
}

/// Overwrites part of a tensor of a shard in place.
template <class T>
void poke(const std::string& path, const std::string& tensor, int64_t element, T value) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::string bytes = read_file(path);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  std::memcpy(bytes.data() + 8 + header + file.find(tensor)->begin + static_cast<size_t>(element) * sizeof(T), &value,
              sizeof(T));
  write_file(path, bytes);
}

}  // namespace

TEST_CASE("data set: what was written is gathered") {
  for (const bool raster : {false, true}) {
    const TemporaryFolder folder;
    ExampleDataset example;
    example.raster = raster;
    example.write(folder.file("d"));
    const auto dataset = Dataset::open(folder.file("d"));
    CHECK(dataset->size() == example.samples);
    CHECK(dataset->info().frames == example.frames);
    CHECK(dataset->info().shards.size() > 4);
    CHECK(dataset->info().provenance.at("made by") == "a test");

    const std::vector<int64_t> numbers = {22, 0, 7, -1, 7};
    const Batch batch = gather(*dataset, numbers);
    REQUIRE(batch.fields.size() == 4);
    CHECK(batch.find("frames") == nullptr);
    CHECK(batch.at("ego_status").shape() == Shape{5, 4, 14});
    CHECK(batch.at("gen_vit_tokens").dtype() == DType::bf16);
    for (size_t b = 0; b < numbers.size(); ++b) {
      const int64_t row = numbers[b], at = static_cast<int64_t>(b);
      const auto expect = [&](std::string_view field, const auto& values) {
        using T = typename std::decay_t<decltype(values)>::value_type;
        const int64_t count = static_cast<int64_t>(values.size());
        const T* const found = batch.at(field).data<T>() + at * count;
        for (int64_t i = 0; i < count; ++i) {
          REQUIRE(found[i] == (row < 0 ? T(0) : values[static_cast<size_t>(i)]));
        }
      };
      expect("ego_status", ExampleDataset::floats(1, row, 56));
      expect("agent_pos", ExampleDataset::floats(2, row, 12));
      expect("gen_vit_tokens", ExampleDataset::halves(row, 24));
      for (int64_t step = 0; step < 4; ++step) {
        const int64_t frame = row < 0 ? 0 : example.frame(row, step);
        if (raster) {
          const auto pixels = ExampleDataset::bytes(frame, 384);
          CHECK(batch.at("lidar_bev").shape() == Shape{5, 4, 3, 8, 16});
          const uint8_t* const found = batch.at("lidar_bev").data<uint8_t>() + (at * 4 + step) * 384;
          for (size_t i = 0; i < 384; ++i) REQUIRE(found[i] == (row < 0 ? 0 : pixels[i]));
        } else {
          CHECK(batch.at("lidar_token").shape() == Shape{5, 4, 5, 6});
          const float* const found = batch.at("lidar_token").data<float>() + (at * 4 + step) * 30;
          for (int64_t i = 0; i < 30; ++i) REQUIRE(found[i] == (row < 0 ? 0 : ExampleDataset::value(3, frame, i)));
        }
      }
    }
    CHECK(dataset->number(12, "route") == 2);
    CHECK(dataset->frames(3) == std::vector<int64_t>{1, 2, 3, 4});
    const Verification verified = verify_dataset(*dataset, 3);
    CHECK(verified.problems.empty());
    CHECK(verified.bytes > 0);
  }
}

TEST_CASE("data set: the same rows give the same bytes, whatever an interrupted writer left") {
  const TemporaryFolder folder;
  ExampleDataset example;
  example.write(folder.file("a"));
  std::filesystem::create_directory(folder.file("b"));
  write_file(folder.file("b/samples-00099.safetensors"), "left over");
  write_file(folder.file("b/frames-00000.safetensors.partial"), "left over");
  example.write(folder.file("b"));
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.file("a"))) {
    const std::string name = entry.path().filename().string();
    CHECK(read_file(folder.file("a/" + name)) == read_file(folder.file("b/" + name)));
    ++files;
  }
  CHECK(files == static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder.file("b")), {})));
  CHECK(Dataset::open(folder.file("a"))->fingerprint() == Dataset::open(folder.file("b"))->fingerprint());
  CHECK(contains(error_of(ErrorKind::usage, [&] { example.write(folder.file("a")); }), "already holds a data set"));
}

TEST_CASE("data set: statistics are those of the samples") {
  const TemporaryFolder folder;
  ExampleDataset example;
  example.write(folder.file("d"));
  const auto dataset = Dataset::open(folder.file("d"));
  for (const auto& [name, field, steps, columns] :
       {std::tuple{"agent_pos", 2, int64_t{6}, int64_t{2}}, std::tuple{"ego_status", 1, int64_t{4}, int64_t{14}}}) {
    const FieldStatistics& statistics = dataset->info().statistics.at(name);
    REQUIRE(statistics.mean.size() == static_cast<size_t>(columns));
    for (int64_t column = 0; column < columns; ++column) {
      double sum = 0, squares = 0, low = 1e9, high = -1e9;
      const double n = static_cast<double>(example.samples * steps);
      for (int64_t row = 0; row < example.samples; ++row) {
        for (int64_t step = 0; step < steps; ++step) {
          const double x = ExampleDataset::value(field, row, step * columns + column);
          sum += x;
          squares += x * x;
          low = std::min(low, x);
          high = std::max(high, x);
        }
      }
      const size_t i = static_cast<size_t>(column);
      CHECK(statistics.min[i] == low);
      CHECK(statistics.max[i] == high);
      CHECK(statistics.mean[i] == doctest::Approx(sum / n).epsilon(1e-12));
      CHECK(statistics.deviation[i] == doctest::Approx(std::sqrt(squares / n - sum / n * sum / n)).epsilon(1e-9));
    }
  }
}

TEST_CASE("data set: damage is found when it is opened") {
  ExampleDataset example;
  const auto opening = [&](const std::string& expected, const auto& damage) {
    const TemporaryFolder folder;
    const std::string directory = folder.file("d");
    example.write(directory);
    damage(directory);
    const std::string message = error_of(ErrorKind::data, [&] { Dataset::open(directory); });
    CHECK_MESSAGE(contains(message, expected), message);
    CHECK(contains(message, directory));
  };
  const std::string shard = "/samples-00001.safetensors", json = "/dataset.json";
  opening("has no dataset.json", [&](const auto& d) { std::filesystem::remove(d + json); });
  opening("cannot be opened", [&](const auto& d) { std::filesystem::remove(d + shard); });
  opening("truncated",
          [&](const auto& d) { std::filesystem::resize_file(d + shard, std::filesystem::file_size(d + shard) - 1); });
  opening("is BF16 [5, 3, 8], expected F64 [5, 3, 8]",
          [&](const auto& d) { replace_in_file(d + json, "\"BF16\"", "\"F64\""); });
  opening("is F32 [5, 6, 2], expected F32 [5, 3, 2]",
          [&](const auto& d) { replace_in_file(d + json, "6,\n        2", "3,\n        2"); });
  opening("has no tensor lidar_tokes", [&](const auto& d) { replace_in_file(d + json, "lidar_token", "lidar_tokes"); });
  opening("its shards hold 23 samples",
          [&](const auto& d) { replace_in_file(d + json, "\"samples\": 23", "\"samples\": 24"); });
  opening("\"samples\" is -23",
          [&](const auto& d) { replace_in_file(d + json, "\"samples\": 23", "\"samples\": -23"); });
  opening("another version", [&](const auto& d) { replace_in_file(d + json, "\"version\": 1", "\"version\": 2"); });
  opening("\"crc32\"", [&](const auto& d) { replace_in_file(d + json, "\"crc32\": \"", "\"crc32\": \"x"); });
  opening("name of a file", [&](const auto& d) { replace_in_file(d + json, "\"samples-", "\"../samples-"); });
  opening("agent_pos F32", [&](const auto& d) { replace_in_file(d + json, "\"agent_pos\"", "\"agent\""); });
  opening("numbers, as the field has", [&](const auto& d) { replace_in_file(d + json, "\"min\": [", "\"min\": [0,"); });
  opening("not valid JSON", [&](const auto& d) { std::filesystem::resize_file(d + json, 300); });
  opening("occurs twice",
          [&](const auto& d) { replace_in_file(d + json, "\"version\": 1", "\"version\": 1, \"version\": 1"); });

  const TemporaryFolder folder;
  example.write(folder.file("set/train"));
  CHECK(contains(error_of(ErrorKind::data, [&] { Dataset::open(folder.file("set")); }), "such as its train/"));
}

TEST_CASE("data set: damage inside is found when it is gathered, and by verify") {
  ExampleDataset example;
  const auto gathering = [&](const std::vector<std::string>& expected, const std::string& file, const auto& damage) {
    const TemporaryFolder folder;
    example.write(folder.file("d"));
    damage(folder.file("d/" + file));
    const auto dataset = Dataset::open(folder.file("d"));
    const std::string message = error_of(ErrorKind::data, [&] {
      for (int64_t sample = 0; sample < dataset->size(); ++sample) gather(*dataset, {sample});
    });
    for (const std::string& part : expected) CHECK_MESSAGE(contains(message, part), message);
    CHECK(contains(message, file));
    const auto problems = verify_dataset(*dataset, 2).problems;
    REQUIRE(problems.size() >= 2);
    CHECK(contains(problems[0], "checksum"));
    CHECK(contains(problems[1], file));
  };
  const std::string shard = "samples-00001.safetensors", frames = "frames-00000.safetensors";
  const int64_t first = rows_a_shard(example.sample_fields(), example.shard_bytes);  // sample of the second shard
  gathering({"ego_status", fmt::format("sample {} ", first + 1), "element 3 of"}, shard,
            [](const auto& path) { poke<float>(path, "ego_status", 56 + 3, std::numeric_limits<float>::quiet_NaN()); });
  gathering({"gen_vit_tokens", fmt::format("sample {} ", first)}, shard,
            [](const auto& path) { poke<uint16_t>(path, "gen_vit_tokens", 23, 0xFF80); });
  gathering({"lidar_token", "sample 0 ", "row 2 of the frames"}, frames,
            [](const auto& path) { poke<float>(path, "lidar_token", 60, -std::numeric_limits<float>::infinity()); });
  gathering({"names frame 12", "12 frames"}, shard, [](const auto& path) { poke<int64_t>(path, "frames", 2, 12); });
  gathering({"names frame -1"}, shard, [](const auto& path) { poke<int64_t>(path, "frames", 2, -1); });

  const TemporaryFolder folder;
  example.write(folder.file("d"));
  poke<uint16_t>(folder.file("d/" + shard), "gen_vit_tokens", 0, 0x3F00);  // wrong but finite
  const auto problems = verify_dataset(*Dataset::open(folder.file("d")), 1).problems;
  REQUIRE(problems.size() == 1);
  CHECK(contains(problems[0], "checksum"));
  CHECK(contains(problems[0], shard));
}

TEST_CASE("data set: a shard that is cut off after the set was opened is an error that names it") {
  for (const bool many : {false, true}) {
    ExampleDataset example;
    if (many) example.samples = 300, example.shard_bytes = 1;  // more shards than a data set keeps open
    for (const std::string kind : {"samples", "frames"}) {
      const TemporaryFolder folder;
      example.write(folder.file("d"));
      const auto dataset = Dataset::open(folder.file("d"));
      CHECK((dataset->info().shards.size() > 300) == many);
      const ShardInfo* last = nullptr;
      for (const ShardInfo& shard : dataset->info().shards) {
        if (name_of(shard.table) == kind) last = &shard;
      }
      const std::string path = folder.file("d/" + last->file);
      std::filesystem::resize_file(path, 100);  // less than a header
      const std::string expected = fmt::format("{}: has 100 bytes, expected {}", path, last->bytes);
      const auto check = [&](const std::string& message) { CHECK_MESSAGE(contains(message, expected), message); };
      check(error_of(ErrorKind::data, [&] {
        for (int64_t sample = 0; sample < dataset->size(); ++sample) gather(*dataset, {sample});
      }));
      if (kind == "samples") CHECK_NOTHROW(gather(*dataset, {0}));  // lies in another shard
      const int64_t rows = kind == "samples" ? example.samples : example.frames;
      const auto [table, field] =
          kind == "samples" ? std::pair{Table::samples, "ego_status"} : std::pair{Table::frames, "lidar_token"};
      check(error_of(ErrorKind::data, [&] { dataset->row(table, rows - 1, field); }));
      if (kind == "samples") check(error_of(ErrorKind::data, [&] { dataset->number(rows - 1, "route"); }));
      if (kind == "samples") check(error_of(ErrorKind::data, [&] { dataset->frames(rows - 1); }));
    }
  }
}

TEST_CASE("data set: a full disk leaves no data set, and the next writer starts afresh") {
  const TemporaryFolder folder;
  const ExampleDataset example;
  {
    const FileSizeLimit full(1500);  // of a shard; those are larger
    const std::string message = error_of(ErrorKind::runtime, [&] { example.write(folder.file("d")); });
    CHECK(contains(message, "File too large"));
    CHECK(contains(message, folder.file("d")));
  }
  CHECK(contains(error_of(ErrorKind::data, [&] { Dataset::open(folder.file("d")); }), "has no dataset.json"));
  example.write(folder.file("d"));
  CHECK(verify_dataset(*Dataset::open(folder.file("d")), 1).problems.empty());
}

TEST_CASE("data set: the writer refuses rows that are wrong") {
  const TemporaryFolder folder;
  const std::vector<FieldSpec> fields = {{"ego_status", DType::f32, {1, 2}}, {"agent_pos", DType::f32, {1, 2}}};
  DatasetWriter writer(folder.file("d"), fields, {});
  const std::vector<float> two = {1, 2}, three = {1, 2, 3}, bad = {1, std::numeric_limits<float>::infinity()};
  const std::vector<double> doubles = {1, 2};
  const auto refuse = [&](const std::vector<FieldView>& row, const std::string& reason) {
    const std::string message = error_of(ErrorKind::data, [&] { writer.add_sample(row); });
    CHECK_MESSAGE(contains(message, reason), message);
  };
  const FieldView state = FieldView::of("ego_status", two), future = FieldView::of("agent_pos", two);
  refuse({state}, "agent_pos is missing");
  refuse({state, future, state}, "is given twice");
  refuse({state, future, FieldView::of("more", two)}, "is not among");
  refuse({state, FieldView::of("agent_pos", three)}, "has 3 elements of F32, expected F32 [1, 2]");
  refuse({state, FieldView::of("agent_pos", doubles)}, "elements of F64");
  refuse({state, FieldView::of("agent_pos", bad)}, "not finite at element 1");
  CHECK(writer.add_sample(std::vector{state, future}) == 0);
  CHECK(writer.finish().samples == 1);

  CHECK(contains(error_of(ErrorKind::usage, [&] { DatasetWriter(folder.file("e"), {fields[0]}, {}); }), "agent_pos"));
  DatasetWriter empty(folder.file("e"), fields, {});
  CHECK(contains(error_of(ErrorKind::data, [&] { empty.finish(); }), "no sample"));
  CHECK_FALSE(std::filesystem::exists(folder.file("e/dataset.json")));

  auto with_frames = fields;
  with_frames.push_back({"frames", DType::i32, {1}});
  DatasetWriter framed(folder.file("f"), with_frames, {{"lidar_token", DType::f32, {2}}});
  const std::vector<int32_t> none = {0};
  CHECK(contains(error_of(ErrorKind::data,
                          [&] {
                            framed.add_sample(std::vector{state, future, FieldView::of("frames", none)});
                          }),
                 "names frame 0, but 0 frames"));
}

TEST_CASE("data set: finite numbers of every type") {
  std::vector<double> doubles(5000, 1.0);
  CHECK(first_not_finite(DType::f64, doubles.data(), 5000) == -1);
  doubles[4999] = std::numeric_limits<double>::quiet_NaN();
  CHECK(first_not_finite(DType::f64, doubles.data(), 5000) == 4999);
  CHECK(first_not_finite(DType::f64, doubles.data(), 4999) == -1);
  std::vector<float> floats(3, std::numeric_limits<float>::max());
  CHECK(first_not_finite(DType::f32, floats.data(), 3) == -1);
  floats[0] = -std::numeric_limits<float>::infinity();
  CHECK(first_not_finite(DType::f32, floats.data(), 3) == 0);
  const std::vector<uint16_t> halves = {0x7F7F, 0xFF7F, 0x7F80};  // the largest, its negative, infinity
  CHECK(first_not_finite(DType::bf16, halves.data(), 2) == -1);
  CHECK(first_not_finite(DType::bf16, halves.data(), 3) == 2);
  const std::vector<uint8_t> bytes(3, 0xFF);
  CHECK(first_not_finite(DType::u8, bytes.data(), 3) == -1);
}
