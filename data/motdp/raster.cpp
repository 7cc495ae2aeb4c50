// PNG rasters. libpng's plain interface and not its simplified one, which would correct the gamma of what are
// measurements and no colours.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <memory>
#include <vector>

#include "data/motdp/frame_files.h"
#include "runtime/file/mapped_file.h"

namespace bev::motdp {

namespace {

constexpr uint32_t largest_side = 8192;

/// A decoder and what it reads from. libpng leaves a failing call by longjmp, so that decode() below holds nothing that
/// needs a destructor: this object does, outside.
struct Decoder {
  explicit Decoder(std::span<const std::byte> bytes) : rest(bytes) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    info = png ? png_create_info_struct(png) : nullptr;
    if (!info) fail(ErrorKind::runtime, "libpng has no memory for a decoder");
    png_set_read_fn(png, this, on_read);
    png_set_user_limits(png, largest_side, largest_side);
    png_set_chunk_malloc_max(png, 1 << 20);
  }
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  static void on_error(png_structp png, png_const_charp message) {
    auto* const decoder = static_cast<Decoder*>(png_get_error_ptr(png));
    std::strncpy(decoder->message, message, sizeof(decoder->message) - 1);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void on_read(png_structp png, png_bytep to, size_t bytes) {
    auto* const decoder = static_cast<Decoder*>(png_get_io_ptr(png));
    if (bytes > decoder->rest.size()) png_error(png, "truncated");
    std::memcpy(to, decoder->rest.data(), bytes);
    decoder->rest = decoder->rest.subspan(bytes);
  }

  png_structp png = nullptr;
  png_infop info = nullptr;
  std::span<const std::byte> rest;
  std::vector<uint8_t> pixels;  // [height, width, channels]
  std::vector<png_bytep> rows;  // into pixels
  char message[200] = {};
};

/// Fills decoder.pixels; false if the file is damaged, with the reason in decoder.message.
bool decode(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png))) return false;
  png_read_info(decoder.png, decoder.info);
  const int colour = png_get_color_type(decoder.png, decoder.info);
  if (png_get_bit_depth(decoder.png, decoder.info) != 8 ||
      (colour != PNG_COLOR_TYPE_RGB && colour != PNG_COLOR_TYPE_RGB_ALPHA)) {
    png_error(decoder.png, "expected 8 bits a channel, RGB");
  }
  if (colour == PNG_COLOR_TYPE_RGB_ALPHA) png_set_strip_alpha(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.info);
  const size_t row_bytes = png_get_rowbytes(decoder.png, decoder.info);
  decoder.rows.resize(png_get_image_height(decoder.png, decoder.info));
  decoder.pixels.resize(decoder.rows.size() * row_bytes);
  for (size_t y = 0; y < decoder.rows.size(); ++y) decoder.rows[y] = decoder.pixels.data() + y * row_bytes;
  png_read_image(decoder.png, decoder.rows.data());
  png_read_end(decoder.png, nullptr);
  return true;
}

}  // namespace

Tensor read_raster(const std::string& path) {
  const MappedFile file = MappedFile::open(path);
  Decoder decoder(file.bytes());
  if (!decode(decoder)) fail(ErrorKind::data, "{}: is not a PNG that can be used: {}", path, decoder.message);
  const size_t height = decoder.rows.size(), pixels = decoder.pixels.size() / 3;
  const std::shared_ptr<uint8_t[]> planes(new uint8_t[pixels * 3]);
  for (size_t channel = 0; channel < 3; ++channel) {
    for (size_t i = 0; i < pixels; ++i) planes[channel * pixels + i] = decoder.pixels[i * 3 + channel];
  }
  const Shape shape{3, static_cast<int64_t>(height), static_cast<int64_t>(pixels / height)};
  return Tensor(std::shared_ptr<void>(planes, planes.get()), shape, DType::u8);
}

}  // namespace bev::motdp
