// A line in the plane made of straights and arcs, with a pose for every position along it, exactly: nothing is sampled,
// so roads, cars and the expert agree to rounding wherever they are asked for.
#pragma once

#include <cmath>
#include <vector>

namespace bev::world {

struct Point {
  double x = 0, y = 0;
};

/// x forward and y left in its own frame; the heading counts anticlockwise and is never wrapped.
struct Pose {
  double x = 0, y = 0, heading = 0;

  Point point() const { return {x, y}; }
  /// The place `forward` and `left` of this pose.
  Point at(double forward, double left) const {
    const double c = std::cos(heading), s = std::sin(heading);
    return {x + c * forward - s * left, y + s * forward + c * left};
  }
  /// A place in this pose's frame: {forward, left}.
  Point local(Point place) const {
    const double c = std::cos(heading), s = std::sin(heading), dx = place.x - x, dy = place.y - y;
    return {c * dx + s * dy, c * dy - s * dx};
  }
};

class Path {
 public:
  explicit Path(Pose start = {}) : end_(start) {}

  /// Appends an arc; curvature 0 is a straight, positive bends to the left.
  void add(double length, double curvature);

  double length() const { return length_; }
  /// Where the path is after `s` metres, and its direction. Before its begin and beyond its end it goes on straight.
  Pose pose(double s) const;
  /// The same, shifted to the left.
  Pose pose(double s, double left) const {
    const Pose centre = pose(s);
    const Point place = centre.at(0, left);
    return {place.x, place.y, centre.heading};
  }
  double curvature(double s) const;

 private:
  struct Piece {
    double begin, curvature;
    Pose start;
  };
  static Pose advance(const Pose& start, double curvature, double distance);
  const Piece& piece(double s) const;

  std::vector<Piece> pieces_;
  double length_ = 0;
  Pose end_;
};

}  // namespace bev::world
