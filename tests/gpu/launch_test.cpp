// The launch layer: kernels that the CPU runs too, over sizes that reach every branch of it (warps and blocks, rows
// that outnumber the grid, chunks of columns), compared element by element.
#include "kernels/launch.h"

#include <doctest/doctest.h>

#include <cmath>
#include <utility>

#include "kernels/cell_attention.h"
#include "kernels/copy.h"
#include "kernels/diffusion.h"
#include "kernels/hash.h"
#include "kernels/reduce.h"
#include "tests/support/cpu_context.h"
#include "tests/support/gpu_context.h"
#include "tests/support/numbers.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

/// Runs `body`, which returns a tensor of the context, on both devices.
template <class Body>
std::pair<std::vector<double>, std::vector<double>> on_both(const Body& body) {
  GpuContext gpu(Precision::fp32);
  CpuContext cpu(DType::f32);
  return {read_numbers(gpu.context, body(gpu.context)), read_numbers(cpu.context, body(cpu.context))};
}

double largest_error(const std::vector<double>& ours, const std::vector<double>& theirs) {
  double worst = 0;
  REQUIRE(ours.size() == theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    const double error = std::abs(ours[i] - theirs[i]) / std::max(1.0, std::abs(theirs[i]));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

Tensor random(Context& context, const Shape& shape) {
  return constant(context, shape, random_numbers<double>(shape.elements(), 5));
}

}  // namespace

TEST_CASE("elements: below, at and above a block, and more than a grid") {
  for (const int64_t n : {1, 255, 256, 257, 132 * 16 * 256 * 2 + 5}) {
    const auto [gpu, cpu] = on_both([n](Context& context) {
      const Tensor x = random(context, {n}), range = context.empty({n});
      for_elements(context.stream, n,
                   ToMetres<float>{.x = x.data<float>(),
                                   .metres = range.data<float>(),
                                   .range = {.low = {-3, -40}, .high = {20, 40}, .active = true}});
      return range;
    });
    INFO(n);
    CHECK(largest_error(gpu, cpu) < 1e-6);
  }
}

TEST_CASE("rows: a warp, a small block and a large one each, and more rows than a grid has") {
  const std::pair<int64_t, int64_t> sizes[] = {{1, 1},     {1, 5},       {3, 64},      {3, 65},    {1023, 33},
                                               {1024, 33}, {1500, 1024}, {1500, 1025}, {2, 40000}, {(8 << 20) + 9, 2}};
  for (const auto& [rows, width] : sizes) {
    if (rows > (1 << 20) && is_pretended()) continue;  // minutes of shuffles
    const auto [gpu, cpu] = on_both([rows = rows, width = width](Context& context) {
      const Tensor x = random(context, {rows, width}), p = context.empty({rows, width});
      for_rows(context.stream, rows, width,
               SoftmaxForward<float>{.x = x.data<float>(), .p = p.data<float>(), .width = width});
      return p;
    });
    INFO(rows, " rows of ", width);
    CHECK(largest_error(gpu, cpu) < 2e-6);
  }
}

TEST_CASE("columns: one chunk and many, few columns and many, added to and overwritten") {
  const std::pair<int64_t, int64_t> sizes[] = {{0, 7},    {1, 1},      {7, 31},     {127, 33},
                                               {5000, 3}, {70000, 64}, {300, 70000}};
  for (const auto& [rows, cols] : sizes) {
    for (const bool accumulate : {false, true}) {
      const auto [gpu, cpu] = on_both([rows = rows, cols = cols, accumulate](Context& context) {
        const Tensor x = random(context, {std::max<int64_t>(rows, 1), cols}), out = random(context, {cols});
        const Tensor workspace = context.empty({columns_workspace<ColumnSum<float>>(rows, cols)});
        const ColumnSum<float> kernel{
            .x = x.data<float>(), .out = out.data<float>(), .cols = cols, .accumulate = accumulate};
        for_columns(context.stream, rows, cols, workspace.data<float>(), kernel);
        return out;
      });
      INFO(rows, " rows, ", cols, " columns");
      CHECK(largest_error(gpu, cpu) < 1e-4);
    }
  }
}

TEST_CASE("integers of 64 bits are summed by warps and by blocks, to the bit") {
  for (const int64_t count : {1, 100, 40000}) {
    std::vector<uint64_t> hashes;
    const auto hash = [&](Context& context) {
      const Tensor x = random(context, {count}), hash_of_x = context.empty({1}, DType::i64);
      const HashChunk chunk{.data = x.raw(), .first = 0, .count = count};
      const Tensor chunks = context.empty({static_cast<int64_t>(sizeof chunk)}, DType::u8);
      const auto device = device_of(context);
      write_to_device(*device, context.stream, chunks.raw(), &chunk, sizeof chunk);
      for_rows(context.stream, 1, count,
               HashChunks<float>{.chunks = static_cast<const HashChunk*>(chunks.raw()),
                                 .hashes = reinterpret_cast<uint64_t*>(hash_of_x.data<int64_t>()),
                                 .elements = count});
      const Tensor host = to_host(*device, context.stream, hash_of_x);
      hashes.push_back(static_cast<uint64_t>(host.data<int64_t>()[0]));
    };
    GpuContext gpu(Precision::fp32);
    CpuContext cpu(DType::f32);
    hash(gpu.context);
    hash(cpu.context);
    CHECK(hashes[0] == hashes[1]);
  }
}

TEST_CASE("a float64 kernel is refused on a GPU") {
  GpuContext gpu(Precision::fp32);
  double x = 0;
  CHECK_THROWS_AS(for_elements(gpu.context.stream, 1, Fill<double>{.out = &x, .value = 1}), std::logic_error);
}

}  // namespace bev::test
