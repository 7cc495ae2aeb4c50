// The constants of the BEV grid, computed once in double when the model is built: what a cell's place adds to its
// features, and how attention over a grid of one size becomes attention over another's.
#pragma once

#include <cstdint>
#include <vector>

namespace bev {

struct GridSize {
  int64_t rows = 0, columns = 0;
  int64_t cells() const { return rows * columns; }
};

/// Sine position map [cells, features], cells row-major: the first half of the features speak of the row, the second of
/// the column. Feature i of a half of F: a = 2 pi c / (n + 1e-6) / 10000^(2 floor(i / 2) / F), c counted from 1 to n;
/// even i sin(a), odd i cos(a) (Carion et al. 2020, section A.4, normalised coordinates).
std::vector<double> position_map(GridSize grid, int64_t features);

/// Bilinear interpolation from one grid to another as a matrix [to.cells, from.cells]: cell centres are at half
/// integers, places outside are clamped to the border, no smoothing when shrinking.
std::vector<double> bilinear_matrix(GridSize from, GridSize to);

}  // namespace bev
