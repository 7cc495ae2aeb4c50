#include "data/scene_picture.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"

namespace bev {

namespace {

constexpr Colour ground{18, 22, 30};

Colour mix(Colour a, Colour b, double share) {
  const auto part = [&](uint8_t from, uint8_t to) {
    return static_cast<uint8_t>(std::lround(from + (to - from) * std::clamp(share, 0.0, 1.0)));
  };
  return {part(a.r, b.r), part(a.g, b.g), part(a.b, b.b)};
}

Colour cell_colour(uint8_t density, uint8_t height) {
  if (density == 0) return ground;
  const double metres = (height - 60) / 65.0;
  constexpr Colour low{190, 190, 180};
  Colour colour = mix(low, colours::sky, (metres - 0.3) / 0.9);
  colour = mix(colour, colours::purple, (metres - 1.6) / 0.8);
  return mix(ground, colour, 0.25 + 0.75 * density / 255.0);
}

template <class Column, class Row>
void draw_ego(Picture& picture, Column column, Row row) {
  constexpr double front = 2.25, side = 0.95;
  constexpr std::array<std::array<double, 2>, 5> corners = {
      {{front, side}, {front, -side}, {-front, -side}, {-front, side}, {front, side}}};
  for (size_t i = 0; i + 1 < corners.size(); ++i) {
    picture.line(column(corners[i][1]), row(corners[i][0]), column(corners[i + 1][1]), row(corners[i + 1][0]),
                 colours::yellow, 1.5);
  }
}

}  // namespace

Picture scene_picture(const uint8_t* raster, int side, std::span<const DrawnTrajectory> trajectories,
                      const SceneOptions& options) {
  if (side < 1) fail(ErrorKind::usage, "a raster of side {}: expected at least 1", side);
  const int enlarge = std::max(1, (options.pixels + side - 1) / side), size = side * enlarge;
  Picture scene(size, size, ground);
  const int plane = side * side;
  for (int cell = 0; cell < plane; ++cell) {
    scene.rectangle(cell % side * enlarge, cell / side * enlarge, enlarge, enlarge,
                    cell_colour(raster[cell], raster[plane + cell]));
  }
  const double scale = size / options.metres;
  const auto column = [&](double y) { return size / 2.0 - y * scale; };
  const auto row = [&](double x) { return size / 2.0 - x * scale; };
  draw_ego(scene, column, row);
  for (const DrawnTrajectory& trajectory : trajectories) {
    std::array<double, 2> last = {0, 0};
    for (const std::array<double, 2>& point : trajectory.points) {
      if (!std::isfinite(point[0]) || !std::isfinite(point[1])) break;
      scene.line(column(last[1]), row(last[0]), column(point[1]), row(point[0]), trajectory.colour, 2);
      scene.circle(column(point[1]), row(point[0]), 3.5, trajectory.colour);
      last = point;
    }
  }

  const int lines = static_cast<int>(options.captions.size()), top = lines > 0 ? 6 + 12 * lines : 0;
  const int bottom = trajectories.empty() ? 0 : 18;
  Picture picture(size, top + size + bottom, colours::white);
  picture.paste(scene, 0, top);
  for (int i = 0; i < lines; ++i) {
    picture.text(6, 5 + 12 * i, options.captions[static_cast<size_t>(i)], colours::black);
  }
  int left = 6;
  for (const DrawnTrajectory& trajectory : trajectories) {
    picture.circle(left + 4, top + size + 9, 4, trajectory.colour);
    picture.text(left + 12, top + size + 6, trajectory.name, colours::black);
    left += 12 + Picture::text_width(trajectory.name) + 14;
  }
  return picture;
}

}  // namespace bev
