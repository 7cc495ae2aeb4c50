// cuBLASLt and cuDNN against nested loops: the cases of the CPU's engines, in every precision.
#include <doctest/doctest.h>

#include "runtime/ops/convolution.h"
#include "runtime/transfer.h"
#include "tests/support/convolution_check.h"
#include "tests/support/gpu_context.h"
#include "tests/support/product_check.h"

namespace bev::test {

namespace {

// Of inputs as they are multiplied: a rounding to 10 bits, or to 7, of each factor.
struct Row {
  Precision precision;
  double product, convolution;
};
constexpr Row rows[] = {
    {Precision::fp32, 0x1p-23, 0x1p-23}, {Precision::tf32, 0x1p-10, 0x1p-10}, {Precision::bf16, 0x1p-7, 0x1p-10}};

/// A copy in the GPU's memory, and back.
class Copy {
 public:
  Copy(GpuContext& gpu, const void* host, int64_t elements)
      : gpu_(gpu), bytes_(static_cast<size_t>(elements) * sizeof(float)), memory_(gpu.context.arena->allocate(bytes_)) {
    write_to_device(*gpu.device, gpu.context.stream, memory_.get(), host, bytes_);
  }
  void* get() const { return memory_.get(); }
  void download(void* host) const {
    gpu_.device->copy(gpu_.context.stream, host, memory_.get(), bytes_);
    gpu_.device->synchronize(gpu_.context.stream);
  }

 private:
  GpuContext& gpu_;
  size_t bytes_;
  std::shared_ptr<void> memory_;
};

/// The GPU's engine behind host pointers.
class HostMatmul final : public MatmulEngine {
 public:
  explicit HostMatmul(GpuContext& gpu) : gpu_(gpu) {}
  void run(const Stream&, DType type, const MatmulShape& s, const void* a, const void* b, void* c, double alpha,
           double beta, const void* bias) override {
    const Copy left(gpu_, a,
                    matrix_extent(s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.lda, s.batch, s.stride_a));
    const Copy right(gpu_, b,
                     matrix_extent(s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.ldb, s.batch, s.stride_b));
    const Copy result(gpu_, c, matrix_extent(s.m, s.n, s.ldc, s.batch, s.stride_c));
    const Copy offset(gpu_, bias, bias ? s.n : 0);
    gpu_.context.matmul->run(gpu_.context.stream, type, s, left.get(), right.get(), result.get(), alpha, beta,
                             bias ? offset.get() : nullptr);
    result.download(c);
  }

 private:
  GpuContext& gpu_;
};

class HostConvolution final : public ConvolutionEngine {
 public:
  explicit HostConvolution(GpuContext& gpu) : gpu_(gpu) {}
  void forward(const Stream&, DType type, const ConvolutionShape& s, const void* x, const void* w, void* y) override {
    const Copy image(gpu_, x, image_size(s)), filter(gpu_, w, filter_size(s)), output(gpu_, y, output_size(s));
    const Tensor workspace = lend_workspace(gpu_.context, ConvolutionDirection::forward, s);
    gpu_.context.convolution->forward(gpu_.context.stream, type, s, image.get(), filter.get(), output.get());
    output.download(y);
  }
  void backward_data(const Stream&, DType type, const ConvolutionShape& s, const void* d_y, const void* w, void* d_x,
                     double beta) override {
    const Copy image(gpu_, d_x, image_size(s)), filter(gpu_, w, filter_size(s)), output(gpu_, d_y, output_size(s));
    const Tensor workspace = lend_workspace(gpu_.context, ConvolutionDirection::backward_data, s);
    gpu_.context.convolution->backward_data(gpu_.context.stream, type, s, output.get(), filter.get(), image.get(),
                                            beta);
    image.download(d_x);
  }
  void backward_filter(const Stream&, DType type, const ConvolutionShape& s, const void* x, const void* d_y, void* d_w,
                       double beta) override {
    const Copy image(gpu_, x, image_size(s)), filter(gpu_, d_w, filter_size(s)), output(gpu_, d_y, output_size(s));
    const Tensor workspace = lend_workspace(gpu_.context, ConvolutionDirection::backward_filter, s);
    gpu_.context.convolution->backward_filter(gpu_.context.stream, type, s, image.get(), output.get(), filter.get(),
                                              beta);
    filter.download(d_w);
  }

 private:
  GpuContext& gpu_;
};

}  // namespace

TEST_CASE("products by cuBLASLt agree with three nested loops") {
  for (const Row& row : rows) {
    GpuContext gpu(row.precision);
    HostMatmul engine(gpu);
    for (const MatmulCase& test : matmul_cases()) {
      if (test.shape.k == 0) continue;  // refused, see below
      for (int repeat = 0; repeat < 2; ++repeat) check_product<float>(engine, test, row.product);
    }
  }
}

TEST_CASE("operands that start anywhere are multiplied right") {
  GpuContext gpu(Precision::fp32);
  const MatmulShape shape = linear_shape(33, 40, 48);
  const auto a = random_numbers<float>(33 * 48 + 3, 1), b = random_numbers<float>(40 * 48 + 3, 2);
  const Copy left(gpu, a.data(), 33 * 48 + 3), right(gpu, b.data(), 40 * 48 + 3);
  std::vector<float> first, result(33 * 40 + 3);
  for (const int64_t shift : {0, 1, 2, 3}) {  // elements: 4-byte, 8-byte and 16-byte boundaries
    const std::vector<float> moved_a(a.begin(), a.begin() + 33 * 48), moved_b(b.begin(), b.begin() + 40 * 48);
    write_to_device(*gpu.device, gpu.context.stream, static_cast<float*>(left.get()) + shift, moved_a.data(),
                    moved_a.size() * sizeof(float));
    write_to_device(*gpu.device, gpu.context.stream, static_cast<float*>(right.get()) + shift, moved_b.data(),
                    moved_b.size() * sizeof(float));
    const Copy c(gpu, result.data(), 33 * 40 + 3);
    gpu.context.matmul->run(gpu.context.stream, DType::f32, shape, static_cast<float*>(left.get()) + shift,
                            static_cast<float*>(right.get()) + shift, static_cast<float*>(c.get()) + shift, 1, 0,
                            nullptr);
    c.download(result.data());
    const std::vector<float> product(result.begin() + shift, result.begin() + shift + 33 * 40);
    if (shift == 0) first = product;
    for (size_t i = 0; i < product.size(); ++i) CHECK(product[i] == doctest::Approx(first[i]).epsilon(1e-4));
  }
}

TEST_CASE("a product without terms is refused on a GPU, naming the shape") {
  GpuContext gpu(Precision::tf32);
  float nothing = 0;
  const MatmulShape shape{.m = 2, .n = 3, .k = 0, .lda = 1, .ldb = 3, .ldc = 3};
  CHECK_THROWS_AS(
      gpu.context.matmul->run(gpu.context.stream, DType::f32, shape, &nothing, &nothing, &nothing, 1, 0, nullptr),
      Error);
  CHECK_THROWS_AS(gpu.context.matmul->run(gpu.context.stream, DType::f64, linear_shape(1, 1, 1), &nothing, &nothing,
                                          &nothing, 1, 0, nullptr),
                  Error);
}

TEST_CASE("convolutions by cuDNN agree with nested loops") {
  for (const Row& row : rows) {
    GpuContext gpu(row.precision);
    HostConvolution engine(gpu);
    for (int repeat = 0; repeat < 2; ++repeat) {
      for (const ConvolutionShape& shape : convolution_shapes) {
        for (const Direction direction : directions) {
          check_convolution<float>(engine, shape, direction, 0, row.convolution);
          if (direction != Direction::forward) {
            check_convolution<float>(engine, shape, direction, 1, row.convolution);
          }
        }
      }
    }
  }
}

TEST_CASE("algorithms are chosen where no memory is left to time them in") {
  GpuContext gpu(Precision::fp32, size_t{64} << 20);
  HostMatmul products(gpu);
  HostConvolution convolutions(gpu);
  const MatmulShape shape = linear_shape(1200, 1000, 8);  // whose result is larger than what is left
  const ConvolutionShape image{.n = 8, .h = 64, .w = 64, .c = 32, .k = 4, .r = 1, .s = 1, .stride = 1, .padding = 0};
  const std::shared_ptr<void> all_but_little = gpu.device->allocate(gpu.device->memory().free - (size_t{3} << 20));
  for (const double beta : {0.0, 1.0}) {
    check_product<float>(products, {.shape = shape, .beta = beta}, 0x1p-23);
    check_convolution<float>(convolutions, image, Direction::data, beta, 0x1p-23);
  }
}

TEST_CASE("libraries give the same bits every time") {
  GpuContext gpu(Precision::tf32);
  const MatmulShape shape{.m = 128, .n = 160, .k = 9600, .transpose_a = true, .lda = 128, .ldb = 160, .ldc = 160};
  const auto a = random_numbers<float>(shape.m * shape.k, 1), b = random_numbers<float>(shape.n * shape.k, 2);
  HostMatmul engine(gpu);
  std::vector<float> first(static_cast<size_t>(shape.m * shape.n)), again = first;
  engine.run({}, DType::f32, shape, a.data(), b.data(), first.data(), 1, 0, nullptr);
  for (int i = 0; i < 5; ++i) {
    engine.run({}, DType::f32, shape, a.data(), b.data(), again.data(), 1, 0, nullptr);
    CHECK(first == again);
  }
  HostConvolution convolutions(gpu);
  Problem<float> one({.n = 9, .h = 28, .w = 28, .c = 32, .k = 32, .r = 3, .s = 3, .stride = 1, .padding = 1}), two(one);
  for (const Direction direction : directions) {
    one.run(convolutions, direction, 0);
    two.run(convolutions, direction, 0);
    CHECK(one.result(direction) == two.result(direction));
  }
}

}  // namespace bev::test
