// The built-in font: printable ASCII, 5 x 7 cells a character, drawn below so that it can be read and mended by eye.
#pragma once

namespace bev {

/// Whether the cell at (column 0-4, row 0-6) of a character is inked. Characters the font lacks are a box.
bool font_cell(char character, int column, int row);

}  // namespace bev
