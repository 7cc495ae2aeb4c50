#include "data/world/raster.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/world/random.h"

namespace bev::world {

namespace {

/// Collects points in the ego's frame. Every point offered, seen or not, takes one block of random words, by its
/// number.
class Canvas {
 public:
  Canvas(const Drive& drive, int frame, int side, double metres)
      : ego_(drive.moments[static_cast<size_t>(frame)].ego),
        cos_(static_cast<float>(std::cos(ego_.heading))),
        sin_(static_cast<float>(std::sin(ego_.heading))),
        seed_(drive.route.seed),
        route_(drive.route.number),
        frame_(static_cast<uint32_t>(frame)),
        side_(side),
        half_(static_cast<float>(metres / 2)),
        cells_a_metre_(static_cast<float>(side / metres)),
        counts_(static_cast<size_t>(side * side)),
        heights_(static_cast<size_t>(side * side)) {}

  void add(Point at, double height) {
    const auto dx = static_cast<float>(at.x - ego_.x), dy = static_cast<float>(at.y - ego_.y);
    add_local(cos_ * dx + sin_ * dy, cos_ * dy - sin_ * dx, static_cast<float>(height));
  }

  void finish(uint8_t* out) const {
    const size_t plane = counts_.size();
    std::fill(out, out + 3 * plane, uint8_t{0});
    for (size_t i = 0; i < plane; ++i) {
      if (counts_[i] == 0) continue;
      out[i] = static_cast<uint8_t>(std::min(255.0f, 90 * std::log2(1 + static_cast<float>(counts_[i]))));
      out[plane + i] = static_cast<uint8_t>(std::min(255.0f, 60 + 65 * heights_[i]));
    }
  }

 private:
  void add_local(float forward, float left, float height) {
    const uint32_t number = points_++;
    if (std::max(std::abs(forward), std::abs(left)) > half_ + 1) return;
    const Random4 random = philox4x32(seed_, static_cast<uint32_t>(Purpose::raster), route_, frame_, number);
    const float distance = std::sqrt(forward * forward + left * left);
    const float kept = std::clamp(1.3f - distance / 45, 0.3f, 1.0f);
    if (uniform<float>(random.word[0]) >= kept) return;
    const float row = (half_ - forward - noise(random.word[1])) * cells_a_metre_;
    const float column = (half_ - left - noise(random.word[2])) * cells_a_metre_;
    const auto limit = static_cast<float>(side_);
    if (!(row >= 0 && row < limit && column >= 0 && column < limit)) return;
    const auto cell = static_cast<size_t>(static_cast<int>(row) * side_ + static_cast<int>(column));
    ++counts_[cell];
    heights_[cell] = std::max(heights_[cell], height);
  }

  /// The difference of two uniform numbers, scaled to a deviation of 5 cm.
  static float noise(uint32_t bits) {
    constexpr float scale = 0.05f * 2.4494897f / 65536;
    return static_cast<float>(static_cast<int>(bits >> 16) - static_cast<int>(bits & 0xFFFF)) * scale;
  }

  Pose ego_;
  float cos_, sin_;
  uint64_t seed_;
  uint32_t route_, frame_, points_ = 0;
  int side_;
  float half_, cells_a_metre_;
  std::vector<int> counts_;
  std::vector<float> heights_;
};

}  // namespace

void render(const Drive& drive, int frame, int side, double metres, uint8_t* out) {
  const Moment& moment = drive.moments[static_cast<size_t>(frame)];
  Canvas canvas(drive, frame, side, metres);
  const std::vector<ScenePoint>& points = drive.scenery.points;
  const auto from = std::lower_bound(points.begin(), points.end(), moment.s - shown_along,
                                     [](const ScenePoint& point, double s) { return point.along < s; });
  for (auto point = from; point != points.end() && point->along <= moment.s + shown_along; ++point) {
    canvas.add({point->x, point->y}, point->height);
  }
  for (const VisibleCar& car : moment.cars) {
    for (const Point& point : car_points()) canvas.add(car.pose.at(point.x, point.y), car.height);
  }
  canvas.finish(out);
}

}  // namespace bev::world
