#include "data/world/path.h"

#include <algorithm>

namespace bev::world {

Pose Path::advance(const Pose& start, double curvature, double distance) {
  if (curvature == 0) {
    const Point place = start.at(distance, 0);
    return {place.x, place.y, start.heading};
  }
  const double angle = curvature * distance;
  const Point place = start.at(std::sin(angle) / curvature, (1 - std::cos(angle)) / curvature);
  return {place.x, place.y, start.heading + angle};
}

void Path::add(double length, double curvature) {
  pieces_.push_back({length_, curvature, end_});
  end_ = advance(end_, curvature, length);
  length_ += length;
}

const Path::Piece& Path::piece(double s) const {
  const auto after = std::upper_bound(pieces_.begin() + 1, pieces_.end(), s,
                                      [](double value, const Piece& next) { return value < next.begin; });
  return *(after - 1);
}

Pose Path::pose(double s) const {
  if (s >= length_) return advance(end_, 0, s - length_);
  const Piece& at = piece(s);
  return advance(at.start, s < 0 ? 0 : at.curvature, s - at.begin);
}

double Path::curvature(double s) const { return s < 0 || s >= length_ ? 0 : piece(s).curvature; }

}  // namespace bev::world
