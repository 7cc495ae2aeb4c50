#include "data/picture.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "data/picture_font.h"
#include "runtime/error.h"
#include "runtime/file/atomic_file.h"

namespace bev {

Picture::Picture(int width, int height, Colour background) : width_(width), height_(height) {
  constexpr int limit = 16384;
  if (width < 1 || height < 1 || width > limit || height > limit) {
    fail(ErrorKind::usage, "a picture of {} x {} pixels: expected sides of 1 to {}", width, height, limit);
  }
  pixels_.assign(static_cast<size_t>(width) * static_cast<size_t>(height), background);
}

void Picture::set(int x, int y, Colour colour, double opacity) {
  if (x < 0 || y < 0 || x >= width_ || y >= height_ || opacity <= 0) return;
  Colour& pixel = pixels_[index(x, y)];
  const auto mix = [&](uint8_t below, uint8_t above) {
    return static_cast<uint8_t>(std::lround(below + (above - below) * std::min(opacity, 1.0)));
  };
  pixel = {mix(pixel.r, colour.r), mix(pixel.g, colour.g), mix(pixel.b, colour.b)};
}

void Picture::rectangle(int x, int y, int width, int height, Colour colour, double opacity) {
  for (int row = std::max(y, 0); row < std::min(y + height, height_); ++row) {
    for (int column = std::max(x, 0); column < std::min(x + width, width_); ++column) set(column, row, colour, opacity);
  }
}

/// Inks every pixel by how far its centre lies within the shape: `distance` is in pixels, negative inside.
template <class Distance>
void Picture::shape(double left, double top, double right, double bottom, Colour colour, Distance distance) {
  // Clamped before the conversion: coordinates of a diverged trajectory may be far beyond an int.
  const auto column = [&](double x) { return static_cast<int>(std::clamp(x, -1.0, width_ + 1.0)); };
  const auto row = [&](double y) { return static_cast<int>(std::clamp(y, -1.0, height_ + 1.0)); };
  for (int y = std::max(row(top - 1), 0); y < std::min(row(bottom + 1) + 1, height_); ++y) {
    for (int x = std::max(column(left - 1), 0); x < std::min(column(right + 1) + 1, width_); ++x) {
      set(x, y, colour, 0.5 - distance(x + 0.5, y + 0.5));
    }
  }
}

void Picture::line(double x0, double y0, double x1, double y1, Colour colour, double width) {
  const double dx = x1 - x0, dy = y1 - y0, squared = dx * dx + dy * dy, half = width / 2;
  if (!std::isfinite(squared)) return;
  shape(std::min(x0, x1) - half, std::min(y0, y1) - half, std::max(x0, x1) + half, std::max(y0, y1) + half, colour,
        [&](double x, double y) {
          const double t = squared > 0 ? std::clamp(((x - x0) * dx + (y - y0) * dy) / squared, 0.0, 1.0) : 0.0;
          return std::hypot(x - x0 - t * dx, y - y0 - t * dy) - half;
        });
}

void Picture::circle(double x, double y, double radius, Colour colour) {
  if (!std::isfinite(x + y)) return;
  shape(x - radius, y - radius, x + radius, y + radius, colour,
        [&](double px, double py) { return std::hypot(px - x, py - y) - radius; });
}

void Picture::ring(double x, double y, double radius, Colour colour, double width) {
  if (!std::isfinite(x + y)) return;
  const double outer = radius + width / 2;
  shape(x - outer, y - outer, x + outer, y + outer, colour,
        [&](double px, double py) { return std::abs(std::hypot(px - x, py - y) - radius) - width / 2; });
}

void Picture::text(int x, int y, std::string_view text, Colour colour, int scale) {
  for (size_t i = 0; i < text.size(); ++i) {
    const int left = x + static_cast<int>(i) * 6 * scale;
    for (int row = 0; row < 7; ++row) {
      for (int column = 0; column < 5; ++column) {
        if (font_cell(text[i], column, row)) {
          rectangle(left + column * scale, y + row * scale, scale, scale, colour);
        }
      }
    }
  }
}

int Picture::text_width(std::string_view text, int scale) {
  return text.empty() ? 0 : (static_cast<int>(text.size()) * 6 - 1) * scale;
}

void Picture::paste(const Picture& other, int x, int y) {
  for (int row = 0; row < other.height_; ++row) {
    for (int column = 0; column < other.width_; ++column) set(x + column, y + row, other.at(column, row));
  }
}

void Picture::write_png(const std::string& path) const {
  png_image image;
  std::memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width_);
  image.height = static_cast<png_uint_32>(height_);
  image.format = PNG_FORMAT_RGB;
  const std::unique_ptr<png_image, decltype(&png_image_free)> owner(&image, &png_image_free);
  static_assert(sizeof(Colour) == 3);
  std::vector<uint8_t> bytes(PNG_IMAGE_PNG_SIZE_MAX(image));
  png_alloc_size_t size = bytes.size();
  if (!png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels_.data(), 0, nullptr)) {
    fail(ErrorKind::runtime, "{}: libpng could not encode the picture: {}", path, image.message);
  }
  AtomicFile file(path);
  file.write(bytes.data(), size);
  file.commit();
}

}  // namespace bev
