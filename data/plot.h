// Curves over a number (loss over steps, error over epochs) as a picture, with axes that a person can read.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/picture.h"

namespace bev {

struct Curve {
  std::string name;
  std::vector<double> x, y;  // of equal length; x ascending. Points that are not finite are left out and break the line
  /// Where above 1: the points are drawn pale, and over them their mean over the last `average` points.
  int average = 1;
};

struct PlotOptions {
  std::string title, x_label, y_label;
  bool logarithmic = false;  // the y axis; values of 0 and below are left out
  int width = 960, height = 540;
};

/// Axes that hold all points, ticks at round numbers, a legend where there are names. Draws empty axes if there is no
/// point. Throws Error(ErrorKind::usage) naming the curve whose x and y differ in length, or if the picture is smaller
/// than 240 x 160.
Picture plot_curves(std::span<const Curve> curves, const PlotOptions& options);

}  // namespace bev
