#include "data/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "runtime/error.h"

namespace bev {

namespace {

constexpr std::array<Colour, 6> palette = {colours::blue,   colours::red,    colours::green,
                                           colours::purple, colours::orange, colours::sky};

Colour pale(Colour colour) {
  const auto lift = [](uint8_t value) { return static_cast<uint8_t>(255 - (255 - value) / 3); };
  return {lift(colour.r), lift(colour.g), lift(colour.b)};
}

/// An axis: the range of values, and where on the picture its two ends lie.
struct Axis {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  double first = 0, last = 1;  // pixels
  bool logarithmic = false;

  bool shows(double value) const { return std::isfinite(value) && (!logarithmic || value > 0); }
  double scaled(double value) const { return logarithmic ? std::log10(value) : value; }
  void include(double value) {
    if (!shows(value)) return;
    low = std::min(low, scaled(value));
    high = std::max(high, scaled(value));
  }
  /// Leaves room at both ends, and never a range of nothing.
  void settle() {
    if (low > high) low = 0, high = 1;
    const double room = high > low ? 0.04 * (high - low) : std::max(1e-9, 0.1 * std::abs(high));
    low -= room;
    high += room;
  }
  double place(double value) const { return first + (scaled(value) - low) / (high - low) * (last - first); }

  /// Round values within the range, about `count` of them.
  std::vector<double> ticks(int count) const {
    std::vector<double> values;
    const double raw = (high - low) / count, magnitude = std::pow(10.0, std::floor(std::log10(raw)));
    const double ratio = raw / magnitude;
    const double step = magnitude * (ratio > 5 ? 10 : ratio > 2 ? 5 : ratio > 1 ? 2 : 1);
    const bool decades = logarithmic && step >= 1;
    for (double at = std::ceil(low / step) * step; at <= high; at += step) {
      if (decades || !logarithmic) values.push_back(decades ? std::pow(10.0, at) : std::abs(at) < step / 2 ? 0 : at);
    }
    if (logarithmic && !decades) {  // less than a few decades: 1, 2 and 5 of each
      for (double decade = std::floor(low); decade <= high; ++decade) {
        for (const double digit : {1.0, 1.5, 2.0, 3.0, 5.0, 7.0}) {
          const double value = digit * std::pow(10.0, decade);
          if (std::log10(value) >= low && std::log10(value) <= high) values.push_back(value);
        }
      }
    }
    return values;
  }
};

void draw_axes(Picture& picture, const Axis& x, const Axis& y, const PlotOptions& options) {
  const int left = static_cast<int>(x.first), right = static_cast<int>(x.last), top = static_cast<int>(y.last),
            bottom = static_cast<int>(y.first);
  for (const double value : y.ticks(6)) {
    const int row = static_cast<int>(y.place(value));
    picture.rectangle(left, row, right - left, 1, colours::light_grey);
    const std::string label = fmt::format("{:.4g}", value);
    picture.text(left - 6 - Picture::text_width(label), row - 3, label, colours::black);
  }
  for (const double value : x.ticks(8)) {
    const int column = static_cast<int>(x.place(value));
    picture.rectangle(column, top, 1, bottom - top, colours::light_grey);
    const std::string label = fmt::format("{:.6g}", value);
    picture.text(column - Picture::text_width(label) / 2, bottom + 6, label, colours::black);
  }
  picture.rectangle(left, top, 1, bottom - top, colours::black);
  picture.rectangle(left, bottom, right - left, 1, colours::black);
  picture.text((left + right - Picture::text_width(options.title, 2)) / 2, 10, options.title, colours::black, 2);
  picture.text(left, top - 12, options.y_label, colours::black);
  picture.text(right - Picture::text_width(options.x_label), bottom + 20, options.x_label, colours::black);
}

void draw_line(Picture& picture, const Axis& x_axis, const Axis& y_axis, const std::vector<double>& x,
               const std::vector<double>& y, Colour colour, double width) {
  bool connected = false;
  double last_x = 0, last_y = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!x_axis.shows(x[i]) || !y_axis.shows(y[i])) {
      connected = false;
      continue;
    }
    const double column = x_axis.place(x[i]), row = y_axis.place(y[i]);
    if (connected) {
      picture.line(last_x, last_y, column, row, colour, width);
    } else {
      picture.circle(column, row, width, colour);  // so that a lone point is seen
    }
    connected = true;
    last_x = column;
    last_y = row;
  }
}

std::vector<double> running_mean(const std::vector<double>& values, int window) {
  std::vector<double> mean(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t begin = i + 1 >= static_cast<size_t>(window) ? i + 1 - static_cast<size_t>(window) : 0;
    double sum = 0;
    int count = 0;
    for (size_t j = begin; j <= i; ++j) {
      if (std::isfinite(values[j])) sum += values[j], ++count;
    }
    mean[i] = count ? sum / count : std::numeric_limits<double>::quiet_NaN();
  }
  return mean;
}

void draw_legend(Picture& picture, std::span<const Curve> curves, int right, int top) {
  int row = top + 8;
  for (size_t i = 0; i < curves.size(); ++i) {
    if (curves[i].name.empty()) continue;
    const int left = right - 34 - Picture::text_width(curves[i].name);
    picture.rectangle(left - 4, row - 3, right - left - 4, 13, colours::white, 0.8);
    picture.rectangle(left, row + 2, 20, 3, palette[i % palette.size()]);
    picture.text(left + 26, row, curves[i].name, colours::black);
    row += 14;
  }
}

}  // namespace

Picture plot_curves(std::span<const Curve> curves, const PlotOptions& options) {
  if (options.width < 240 || options.height < 160) {
    fail(ErrorKind::usage, "a plot of {} x {} pixels: expected at least 240 x 160", options.width, options.height);
  }
  Axis x{.first = 70, .last = options.width - 20.0};
  Axis y{.first = options.height - 40.0, .last = 48, .logarithmic = options.logarithmic};
  for (const Curve& curve : curves) {
    if (curve.x.size() != curve.y.size()) {
      fail(ErrorKind::usage, "curve \"{}\" has {} x and {} y values: expected as many", curve.name, curve.x.size(),
           curve.y.size());
    }
    for (size_t i = 0; i < curve.x.size(); ++i) {
      if (!x.shows(curve.x[i]) || !y.shows(curve.y[i])) continue;
      x.include(curve.x[i]);
      y.include(curve.y[i]);
    }
  }
  x.settle();
  y.settle();
  Picture picture(options.width, options.height, colours::white);
  draw_axes(picture, x, y, options);
  for (size_t i = 0; i < curves.size(); ++i) {
    const Curve& curve = curves[i];
    const Colour colour = palette[i % palette.size()];
    if (curve.average > 1) {
      draw_line(picture, x, y, curve.x, curve.y, pale(colour), 1);
      draw_line(picture, x, y, curve.x, running_mean(curve.y, curve.average), colour, 2);
    } else {
      draw_line(picture, x, y, curve.x, curve.y, colour, 2);
    }
  }
  draw_legend(picture, curves, options.width - 20, 48);
  return picture;
}

}  // namespace bev
