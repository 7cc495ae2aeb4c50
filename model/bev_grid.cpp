#include "model/bev_grid.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace bev {

namespace {

double sine_feature(int64_t coordinate, int64_t coordinates, int64_t i, int64_t features) {
  const double place =
      static_cast<double>(coordinate + 1) / (static_cast<double>(coordinates) + 1e-6) * 2 * std::numbers::pi;
  const double angle = place / std::pow(10000.0, static_cast<double>(i / 2 * 2) / static_cast<double>(features));
  return i % 2 == 0 ? std::sin(angle) : std::cos(angle);
}

/// Weights [to, from] of linear interpolation along one side.
std::vector<double> linear_weights(int64_t from, int64_t to) {
  std::vector<double> weights(static_cast<size_t>(to * from));
  for (int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    const double place = std::clamp(centre, 0.0, static_cast<double>(from - 1));
    const int64_t first = static_cast<int64_t>(place), second = std::min(first + 1, from - 1);
    const double share = place - static_cast<double>(first);
    weights[static_cast<size_t>(i * from + first)] += 1 - share;
    weights[static_cast<size_t>(i * from + second)] += share;
  }
  return weights;
}

}  // namespace

std::vector<double> position_map(GridSize grid, int64_t features) {
  const int64_t half = features / 2;
  std::vector<double> map;
  for (int64_t y = 0; y < grid.rows; ++y) {
    for (int64_t x = 0; x < grid.columns; ++x) {
      for (int64_t i = 0; i < half; ++i) map.push_back(sine_feature(y, grid.rows, i, half));
      for (int64_t i = 0; i < half; ++i) map.push_back(sine_feature(x, grid.columns, i, half));
    }
  }
  return map;
}

std::vector<double> bilinear_matrix(GridSize from, GridSize to) {
  const std::vector<double> vertical = linear_weights(from.rows, to.rows);
  const std::vector<double> horizontal = linear_weights(from.columns, to.columns);
  std::vector<double> matrix;
  for (int64_t cell = 0; cell < to.cells(); ++cell) {
    const int64_t row = cell / to.columns * from.rows, column = cell % to.columns * from.columns;
    for (int64_t y = 0; y < from.rows; ++y) {
      for (int64_t x = 0; x < from.columns; ++x) {
        matrix.push_back(vertical[static_cast<size_t>(row + y)] * horizontal[static_cast<size_t>(column + x)]);
      }
    }
  }
  return matrix;
}

}  // namespace bev
