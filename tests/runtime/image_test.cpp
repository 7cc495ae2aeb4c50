// Images from data sets in the layout of convolutions, and convolutions that ignore the channel that was added.
#include "runtime/ops/image.h"

#include <doctest/doctest.h>

#include <cstring>

#include "runtime/ops/convolution.h"
#include "tests/support/cpu_context.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

constexpr ImageNormalisation normalisation{.mean = {0.5, 0.25, 0}, .deviation = {0.5, 0.25, 2}};

template <class T>
Tensor image(Context& context, const Shape& shape, const std::vector<T>& numbers) {
  const Tensor out = context.empty(shape, dtype_of<T>());
  std::copy(numbers.begin(), numbers.end(), out.data<T>());
  return out;
}

}  // namespace

TEST_CASE("rasters of bytes are scaled, normalised and laid out pixel by pixel") {
  CpuContext cpu;
  // Two images of 1x2 pixels.
  const Tensor raster = image<uint8_t>(cpu.context, {2, 3, 1, 2}, {0, 255, 51, 102, 255, 0, 255, 255, 0, 0, 51, 51});
  const Tensor out = channels_last(cpu.context, raster, normalisation);
  CHECK(out.shape() == Shape{2, 1, 2, 4});
  const std::vector<double> expected = {-1, -0.2, 0.5, 0, 1, 0.6, 0, 0, 1, -1, 0.1, 0, 1, -1, 0.1, 0};
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(out.data<double>()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

TEST_CASE("images of floating-point numbers are normalised already") {
  CpuContext cpu;
  const Tensor raster = image<double>(cpu.context, {1, 3, 1, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor out = channels_last(cpu.context, raster, normalisation);
  CHECK(std::vector<double>(out.data<double>(), out.data<double>() + 8) == std::vector<double>{1, 3, 5, 0, 2, 4, 6, 0});
  const Tensor single = image<float>(cpu.context, {1, 3, 1, 2}, {1, 2, 3, 4, 5, 6});
  CHECK(channels_last(cpu.context, single, normalisation).data<double>()[6] == 6);
}

TEST_CASE("what is no image is refused") {
  CpuContext cpu;
  CHECK_THROWS_WITH_AS(channels_last(cpu.context, cpu.context.empty({1, 4, 2, 2}), normalisation),
                       doctest::Contains("expected [images, 3, height, width]"), Error);
  CHECK_THROWS_WITH_AS(channels_last(cpu.context, cpu.context.empty({1, 3, 2, 2}, DType::bf16), normalisation),
                       doctest::Contains("images of type BF16"), Error);
}

TEST_CASE("a convolution of padded images is that of the images") {
  CpuContext cpu;
  ParameterStore store;
  Parameter& filter = store.declare("filter", {5, 3, 3, 3}, Init::normal(1), FileLayout::filter);
  store.allocate(*cpu.context.arena, DType::f64, {&filter},
                 [](void* memory, size_t bytes) { std::memset(memory, 0, bytes); });
  const auto weights = random_numbers<double>(filter.size(), 1), pixels = random_numbers<double>(2 * 6 * 8 * 3, 2);
  std::copy(weights.begin(), weights.end(), filter.value.data<double>());
  Tensor packed = cpu.context.empty({2, 6, 8, 3}), padded = cpu.context.empty({2, 6, 8, 4});
  for (size_t i = 0; i < pixels.size(); ++i) {
    packed.data<double>()[i] = pixels[i];
    padded.data<double>()[i / 3 * 4 + i % 3] = pixels[i];
    padded.data<double>()[i / 3 * 4 + 3] = 17;  // ignored
  }
  std::vector<std::vector<double>> results;
  for (const Tensor& images : {packed, padded}) {
    cpu.context.tape.begin(store, false);
    const Variable y = convolution(cpu.context, Variable(images), filter, 2, 1);
    results.emplace_back(y.value().data<double>(), y.value().data<double>() + y.size());
    cpu.context.tape.backward(
        y, [&](const Tensor& d_y, bool) { std::copy_n(results.back().begin(), d_y.size(), d_y.data<double>()); });
    results.emplace_back(filter.gradient.data<double>(), filter.gradient.data<double>() + filter.size());
  }
  for (const size_t what : {0, 1}) {
    REQUIRE(results[what].size() == results[what + 2].size());
    for (size_t i = 0; i < results[what].size(); ++i)
      CHECK(results[what][i] == doctest::Approx(results[what + 2][i]).epsilon(1e-12));
  }
}

}  // namespace bev::test
