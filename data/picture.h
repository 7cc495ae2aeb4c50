// Small pictures for people: what the raster shows, where the policy drives, how the loss falls. Pixels in memory, a
// few shapes, a built-in 5 x 7 font, and PNG files that appear whole or not at all. No display, no other dependency
// than libpng. The origin is the upper left corner, x to the right, y down; shapes may lie partly or wholly outside.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bev {

struct Colour {
  uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Colour&) const = default;
};

namespace colours {
inline constexpr Colour white{255, 255, 255}, black{0, 0, 0}, grey{128, 128, 128}, light_grey{222, 222, 222};
// Told apart by colour-blind readers too (Okabe and Ito 2008).
inline constexpr Colour orange{230, 159, 0}, sky{86, 180, 233}, green{0, 158, 115}, yellow{240, 228, 66},
    blue{0, 114, 178}, red{213, 94, 0}, purple{204, 121, 167};
}  // namespace colours

class Picture {
 public:
  /// Filled with `background`. Throws Error(ErrorKind::usage) unless both sides are 1 to 16384 pixels.
  Picture(int width, int height, Colour background);

  int width() const { return width_; }
  int height() const { return height_; }
  /// The pixel must lie within the picture.
  Colour at(int x, int y) const { return pixels_[index(x, y)]; }
  const std::vector<Colour>& pixels() const { return pixels_; }  // row by row

  /// Mixes a pixel with `colour`; opacity 1 replaces it. Pixels outside are left out, as in all that follows.
  void set(int x, int y, Colour colour, double opacity = 1);
  /// Filled; covers `width` x `height` pixels from (x, y).
  void rectangle(int x, int y, int width, int height, Colour colour, double opacity = 1);
  /// With round ends and smooth edges. Coordinates are those of pixel corners: (0.5, 0.5) is the first pixel's centre.
  void line(double x0, double y0, double x1, double y1, Colour colour, double width = 1);
  void circle(double x, double y, double radius, Colour colour);                  // filled
  void ring(double x, double y, double radius, Colour colour, double width = 1);  // its edge only
  /// (x, y) is the upper left corner. A character is 5 x 7 cells of `scale` pixels, and one cell apart; characters that
  /// the font lacks (it has printable ASCII) show as a box.
  void text(int x, int y, std::string_view text, Colour colour, int scale = 1);
  static int text_width(std::string_view text, int scale = 1);
  static int text_height(int scale = 1) { return 7 * scale; }
  /// Copies `other` with its upper left corner at (x, y).
  void paste(const Picture& other, int x, int y);

  /// 8-bit RGB. The same pixels give the same file. Throws Error(ErrorKind::runtime) naming the path; then no partial
  /// file is left and a file that was there is as it was.
  void write_png(const std::string& path) const;

 private:
  size_t index(int x, int y) const {
    return static_cast<size_t>(y) * static_cast<size_t>(width_) + static_cast<size_t>(x);
  }
  template <class Distance>
  void shape(double left, double top, double right, double bottom, Colour colour, Distance distance);

  int width_, height_;
  std::vector<Colour> pixels_;
};

}  // namespace bev
