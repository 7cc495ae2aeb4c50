// The files of a MoT-DP tree, one by one: what Python wrote is read, damaged or hostile files give one clear error
// each.
#include <cstring>
#include <random>

#include "data/motdp/frame_files.h"
#include "data/motdp/numpy_array.h"
#include "data/motdp/sample.h"
#include "tests/data/motdp_tree.h"
#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;
using motdp::Sample;

namespace {

const std::string files = "tests/data/files/";

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

void check_sample(const Sample& sample, int64_t route, int64_t now) {
  CHECK(sample.steps == 4);
  CHECK(sample.state_size == 14);
  CHECK(sample.horizon == 6);
  REQUIRE(sample.ego_status.size() == 56);
  for (int64_t i = 0; i < 56; ++i) {
    CAPTURE(i);
    CHECK(sample.ego_status[static_cast<size_t>(i)] == MotdpTree::state(route, now, i / 14, i % 14));
  }
  REQUIRE(sample.agent_pos.size() == 12);
  for (int64_t i = 0; i < 12; ++i) {
    CHECK(sample.agent_pos[static_cast<size_t>(i)] == MotdpTree::value(7, route, now, i));
  }
}

/// The pickle with the first occurrence of `from` replaced by as many bytes.
std::string with(std::string bytes, const std::string& from, const std::string& to) {
  const size_t at = bytes.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(from.size() == to.size());
  return bytes.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("MoT-DP sample: protocols 4 and 5, NumPy 1 and 2") {
  const std::string data = MotdpTree::data();
  const auto read = [](const std::string& path) {
    const std::string bytes = read_file(path);
    return motdp::read_sample(bytes_of(bytes), path);
  };
  check_sample(read(data + "/train/r0_3.pkl"), 0, 3);  // protocol 4
  check_sample(read(data + "/train/r0_4.pkl"), 0, 4);  // protocol 5
  check_sample(read(data + "/val/r2_4.pkl"), 2, 4);
  const Sample sample = read(files + "numpy2.pkl");
  check_sample(sample, 1, 3);
  CHECK(sample.route == "Town01/data/Route_1");
  CHECK(sample.vqa == "Town01/data/Route_1/vqa/0003.pt");
  REQUIRE(sample.rasters.size() == 4);
  CHECK(sample.rasters[0] == "Town01/data/Route_1/lidar_bev/0000.png");
  CHECK(motdp::token_path(sample.rasters[3]) == "Town01/data/Route_1/lidar_bev_features/0003_token.pt");
}

TEST_CASE("MoT-DP sample: what is wrong is named") {
  const std::string valid = read_file(MotdpTree::data() + "/train/r0_3.pkl");
  const auto refusal = [](const std::string& bytes) {
    return error_of(ErrorKind::data, [&] { motdp::read_sample(bytes_of(bytes), "x.pkl"); });
  };
  CHECK(contains(refusal(with(valid, "speed_hist", "speed_mist")), "x.pkl: has no \"speed_hist\""));
  CHECK(contains(refusal(with(valid, "_reconstruct", "_recomstruct")), "numpy.core.multiarray._recomstruct"));
  CHECK(contains(refusal(with(valid, "ndarray", "matrix_")), "numpy.matrix_"));
  CHECK(contains(refusal(with(valid, "f8", "c8")), "array of type c8"));
  CHECK(contains(refusal(with(valid, "\x8c\x01<", "\x8c\x01>")), "little-endian"));
  CHECK(contains(refusal(with(valid, "/lidar_bev/0000.png", "/lidar_bef/0000.png")),
                 "expected ROUTE/lidar_bev/NAME.png"));
  CHECK(contains(refusal(with(valid, "Town01/data/Route_0/vqa", "Town01/../../Rout_0/vqa")), "below the image root"));
  CHECK(
      contains(refusal(with(valid, "Town01/data/Route_0/lidar", "/own01/data/Route_0/lidar")), "below the image root"));
  CHECK(contains(refusal(with(valid, "Route_0/lidar_bev/0001", "Route_1/lidar_bev/0001")), "frames of two routes"));
  CHECK(contains(refusal("\x80\x04]."), "holds a list, expected a dict"));
  CHECK(contains(refusal(valid.substr(0, valid.size() / 2)), "truncated"));
}

TEST_CASE("MoT-DP rasters: channels as they are, whatever gamma the file claims, alpha dropped") {
  for (const int64_t frame : {1, 2}) {  // 2 has an alpha channel
    const std::string path = fmt::format("{}/Town02/data/Route_0/lidar_bev/{:04}.png", MotdpTree::images(), frame);
    const Tensor raster = motdp::read_raster(path);
    REQUIRE(raster.shape() == Shape{3, 16, 16});
    for (int64_t i = 0; i < raster.size(); ++i) {
      CHECK(raster.data<uint8_t>()[i] == MotdpTree::pixel(2, frame, i / 256, i / 16 % 16, i % 16));
    }
  }
  const TemporaryFolder folder;
  const std::string valid = read_file(MotdpTree::images() + "/Town02/data/Route_0/lidar_bev/0001.png");
  const auto refusal = [&](const std::string& bytes) {
    write_file(folder.file("x.png"), bytes);
    return error_of(ErrorKind::data, [&] { motdp::read_raster(folder.file("x.png")); });
  };
  CHECK(contains(refusal("no picture"), "Not a PNG file"));
  CHECK(contains(refusal(valid.substr(0, 100)), "truncated"));
  CHECK(contains(refusal(""), "not a PNG"));
}

TEST_CASE("MoT-DP tokens: BEV tokens, and the reasoning rows that the sample names") {
  const Tensor bev =
      motdp::read_bev_tokens(MotdpTree::images() + "/Town01/data/Route_1/lidar_bev_features/0002_token.pt");
  REQUIRE(bev.shape() == Shape{4, 8});
  for (int64_t i = 0; i < 32; ++i) CHECK(bev.data<float>()[i] == MotdpTree::value(9, 1, 2, i));

  const std::string path = MotdpTree::images() + "/Town02/data/Route_0/vqa/0003.pt";
  for (const int64_t rows : {7, 2}) {  // route 2 names the rows 3, 0, 5
    const motdp::VlTokens vl = motdp::read_vl_tokens(path, rows);
    REQUIRE(vl.tokens.shape() == Shape{5, 8});
    for (int64_t i = 0; i < 40; ++i) CHECK(vl.tokens.data<uint16_t>()[i] == MotdpTree::half(10, 2, 3, i));
    constexpr int64_t named[] = {3, 0, 5};
    REQUIRE(vl.reasoning.size() == static_cast<size_t>(rows * 8));
    for (int64_t i = 0; i < rows * 8; ++i) {
      const uint16_t expected = i / 8 < 3 ? MotdpTree::half(11, 2, 3, named[i / 8] * 8 + i % 8) : uint16_t{0};
      CHECK(vl.reasoning[static_cast<size_t>(i)] == expected);
    }
  }
  CHECK(contains(error_of(ErrorKind::data, [&] { motdp::read_bev_tokens(path); }), "holds no tensor"));
  CHECK(contains(error_of(ErrorKind::data,
                          [&] {
                            motdp::read_vl_tokens(
                                MotdpTree::images() + "/Town01/data/Route_1/lidar_bev_features/0002_token.pt", 7);
                          }),
                 "holds no tensor gen_vit_tokens"));
}

TEST_CASE("MoT-DP files: thousands of mutations of samples and rasters are read or refused") {
  const TemporaryFolder folder;
  std::mt19937_64 random(3);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const auto mutate = [&](std::string bytes) {
    for (size_t edits = 1 + below(3); edits > 0 && !bytes.empty(); --edits) {
      const size_t at = below(bytes.size()), kind = below(7);
      if (kind < 4) bytes[at] = static_cast<char>(random());
      if (kind == 4) bytes.erase(at, 1 + below(8));
      if (kind == 5) bytes.insert(at, bytes.substr(below(bytes.size()), below(40)));
      if (kind == 6) bytes.resize(at);
    }
    return bytes;
  };
  int read = 0, refused = 0;
  const auto attempt = [&](const auto& body) {
    try {
      body();
      ++read;
    } catch (const Error& error) {
      REQUIRE(error.kind() == ErrorKind::data);
      ++refused;
    }
  };
  for (const char* name : {"motdp/data/train/r0_3.pkl", "motdp/data/train/r0_4.pkl", "numpy2.pkl"}) {
    const std::string valid = read_file(files + name);
    for (int round = 0; round < 2000; ++round) {
      const std::string bytes = mutate(valid);
      attempt([&] {
        const Sample sample = motdp::read_sample(bytes_of(bytes), "x.pkl");
        CHECK(sample.ego_status.size() == static_cast<size_t>(sample.steps * 14));
      });
    }
  }
  CHECK(read > 500);
  CHECK(refused > 2000);
  const std::string raster = read_file(MotdpTree::images() + "/Town02/data/Route_0/lidar_bev/0002.png");
  for (int round = 0; round < 1000; ++round) {
    write_file(folder.file("x.png"), mutate(raster));
    attempt([&] {
      {
        const Tensor image = motdp::read_raster(folder.file("x.png"));
        CHECK(image.dim(0) == 3);
      }
    });
  }
}
