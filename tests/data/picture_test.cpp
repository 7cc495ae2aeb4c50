// Pictures: what is drawn is where it should be, files hold exactly the pixels, and odd input neither crashes nor
// paints.
#include "data/picture.h"

#include <doctest/doctest.h>
#include <png.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <vector>

#include "data/plot.h"
#include "data/scene_picture.h"
#include "runtime/error.h"
#include "tests/support/temporary_folder.h"

namespace bev {
namespace {

std::vector<Colour> read_png(const std::string& path, int& width, int& height) {
  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_file(&image, path.c_str()));
  image.format = PNG_FORMAT_RGB;
  width = static_cast<int>(image.width);
  height = static_cast<int>(image.height);
  std::vector<Colour> pixels(static_cast<size_t>(width) * static_cast<size_t>(height));
  REQUIRE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr));
  return pixels;
}

int inked(const Picture& picture, Colour background) {
  int count = 0;
  for (const Colour& pixel : picture.pixels()) count += !(pixel == background);
  return count;
}

TEST_CASE("a PNG file holds the pixels that were drawn") {
  const test::TemporaryFolder folder;
  Picture picture(37, 23, colours::white);
  picture.line(2, 3, 30, 20, colours::red, 2);
  picture.text(3, 12, "L2", colours::blue);
  picture.set(36, 22, {1, 2, 3});
  const std::string path = folder.file("picture.png");
  picture.write_png(path);
  int width = 0, height = 0;
  CHECK(read_png(path, width, height) == picture.pixels());
  CHECK(width == 37);
  CHECK(height == 23);
  CHECK_FALSE(std::filesystem::exists(path + ".partial"));
  CHECK_THROWS_AS(picture.write_png(folder.file("missing/picture.png")), Error);
  CHECK_THROWS_AS(Picture(0, 5, colours::white), Error);
  CHECK_THROWS_AS(Picture(5, 20000, colours::white), Error);
}

TEST_CASE("shapes cover their area and stop at the picture's edge") {
  Picture picture(40, 40, colours::white);
  picture.circle(20, 20, 10, colours::black);
  CHECK(picture.at(20, 20) == colours::black);
  CHECK(picture.at(20, 12) == colours::black);
  CHECK(picture.at(20, 7) == colours::white);
  double ink = 0;
  for (const Colour& pixel : picture.pixels()) ink += (255 - pixel.r) / 255.0;
  CHECK(ink == doctest::Approx(314.159).epsilon(0.01));

  Picture crossing(40, 40, colours::white);
  crossing.line(-1e6, 20.5, 1e6, 20.5, colours::black, 1);
  crossing.circle(1e9, 5, 3, colours::black);
  crossing.rectangle(38, 0, 1000, 2, colours::black);
  for (int x = 0; x < 40; ++x) CHECK(crossing.at(x, 20) == colours::black);
  CHECK(inked(crossing, colours::white) == 40 + 4);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  crossing.line(nan, 0, 10, 10, colours::red);
  crossing.circle(nan, 0, 10, colours::red);
  CHECK(inked(crossing, colours::white) == 40 + 4);
}

TEST_CASE("every printable character has a glyph of its own") {
  std::vector<std::vector<Colour>> glyphs;
  for (char character = '!'; character <= '~'; ++character) {
    Picture picture(5, 7, colours::white);
    picture.text(0, 0, std::string(1, character), colours::black);
    CHECK(inked(picture, colours::white) > 0);
    for (const auto& other : glyphs) CHECK(other != picture.pixels());
    glyphs.push_back(picture.pixels());
  }
  Picture space(5, 7, colours::white), unknown(5, 7, colours::white);
  space.text(0, 0, " ", colours::black);
  CHECK(inked(space, colours::white) == 0);
  unknown.text(0, 0, "\xc3", colours::black);
  CHECK(inked(unknown, colours::white) == 20);
  CHECK(Picture::text_width("abc", 2) == 34);
}

TEST_CASE("a falling curve falls in the plot, and gaps stay gaps") {
  Curve curve{.name = "", .x = {}, .y = {}};
  for (int i = 0; i < 100; ++i) {
    curve.x.push_back(i);
    curve.y.push_back(i >= 40 && i < 60 ? std::numeric_limits<double>::quiet_NaN() : std::exp(-0.05 * i));
  }
  const Picture picture = plot_curves({&curve, 1}, {.title = "", .x_label = "", .y_label = "", .logarithmic = true});
  const auto row_of = [&](int column) {
    for (int y = 0; y < picture.height(); ++y) {
      if (picture.at(column, y) == colours::blue) return y;
    }
    return -1;
  };
  const int early = row_of(200), gap = row_of(510), late = row_of(850);
  CHECK(early > 0);
  CHECK(late > early + 100);
  CHECK(gap == -1);
  curve.x.pop_back();
  CHECK_THROWS_AS(plot_curves({&curve, 1}, {.title = "", .x_label = "", .y_label = ""}), Error);
  CHECK(plot_curves({}, {.title = "empty", .x_label = "", .y_label = ""}).width() == 960);
}

TEST_CASE("a scene shows the raster and trajectories where they are") {
  constexpr int side = 64;
  std::vector<uint8_t> raster(3 * side * side);
  raster[10 * side + 20] = 200;                // 21.5 m ahead, 11.5 m to the left
  raster[side * side + 10 * side + 20] = 158;  // 1.5 m high
  const std::vector<DrawnTrajectory> trajectories = {{"true", {{10, 0}, {20, 5}}, colours::green}};
  const Picture picture =
      scene_picture(raster.data(), side, trajectories, {.pixels = 512, .metres = 64, .captions = {"route 3"}});
  CHECK(picture.width() == 512);
  CHECK(picture.height() == 512 + 18 + 18);
  const Colour empty = picture.at(30, 40), car = picture.at(20 * 8 + 4, 18 + 10 * 8 + 4);
  CHECK_FALSE(car == empty);
  CHECK(car.b > car.r);
  CHECK(picture.at(256 - 5 * 8, 18 + 256 - 20 * 8) == colours::green);
  CHECK(picture.at(256, 18 + 256 - 5 * 8) == colours::green);
}

}  // namespace
}  // namespace bev
