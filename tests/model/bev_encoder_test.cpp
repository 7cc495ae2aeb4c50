// The BEV encoder's constants against numbers worked out by hand, its parameters, and what it refuses. What it computes
// is compared with the reference in the parity cases.
#include "model/bev_encoder.h"

#include <doctest/doctest.h>

#include <bit>
#include <numbers>

#include "model/bev_grid.h"
#include "tests/support/cpu_context.h"
#include "tests/support/gradient_check.h"
#include "tests/support/random_numbers.h"

namespace bev::test {

namespace {

PolicyConfig small_raster() {
  PolicyConfig config;
  config.mode = BevMode::raster;
  config.bev_input_size = {32, 64};
  config.cells = 2;
  config.base_channels = 4;
  return config;
}

template <class T>
Tensor tensor_of(Context& context, const Shape& shape, const std::vector<T>& numbers) {
  const Tensor out = context.empty(shape, dtype_of<T>());
  std::copy(numbers.begin(), numbers.end(), out.data<T>());
  return out;
}

struct Encoder {
  CpuContext cpu;
  ParameterStore store;
  BevEncoder encoder;

  explicit Encoder(const PolicyConfig& config) : encoder(store, config) { allocate_filled(store, cpu.context); }
  Variable operator()(const Tensor& observation) {
    const int64_t steps = observation.dim(0) * observation.dim(1);
    const Tensor state = tensor_of(cpu.context, {steps, 14}, random_numbers<double>(steps * 14, 6));
    return encoder(cpu.context, observation, Variable(state));
  }
};

std::vector<double> numbers_of(const Tensor& tensor) {
  return {tensor.data<double>(), tensor.data<double>() + tensor.size()};
}

}  // namespace

TEST_CASE("bilinear resizing to hand-made numbers") {
  // Two cells in a row to four: centres at -0.25 (clamped), 0.25, 0.75, 1.25 (clamped).
  CHECK(bilinear_matrix({1, 2}, {1, 4}) == std::vector<double>{1, 0, 0.75, 0.25, 0.25, 0.75, 0, 1});
  // Four to two: each is the mean of two neighbours, without more smoothing.
  CHECK(bilinear_matrix({4, 1}, {2, 1}) == std::vector<double>{0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5});
  // 2x2 to 3x3: the middle one is the mean of all, the middle of the first row that of the first two.
  const std::vector<double> matrix = bilinear_matrix({2, 2}, {3, 3});
  CHECK(std::vector<double>(matrix.begin() + 16, matrix.begin() + 20) == std::vector<double>{0.25, 0.25, 0.25, 0.25});
  CHECK(std::vector<double>(matrix.begin() + 4, matrix.begin() + 8) == std::vector<double>{0.5, 0.5, 0, 0});
  // Sizes that are no multiples of each other: every row sums to one, nothing is negative.
  const std::vector<double> odd = bilinear_matrix({3, 5}, {4, 4});
  for (size_t cell = 0; cell < 16; ++cell) {
    double sum = 0;
    for (size_t i = 0; i < 15; ++i) {
      CHECK(odd[cell * 15 + i] >= 0);
      sum += odd[cell * 15 + i];
    }
    CHECK(sum == doctest::Approx(1).epsilon(1e-14));
  }
}

TEST_CASE("the position map speaks of the row first, then of the column") {
  const std::vector<double> map = position_map({2, 3}, 8);  // 4 features each
  REQUIRE(map.size() == 6 * 8);
  const double row = 2 * std::numbers::pi / (2 + 1e-6), column = 2 * std::numbers::pi / (3 + 1e-6);
  const double* cell = map.data() + 5 * 8;  // the last row and column
  CHECK(cell[0] == doctest::Approx(std::sin(2 * row)).epsilon(1e-14));
  CHECK(cell[1] == doctest::Approx(std::cos(2 * row)).epsilon(1e-14));
  CHECK(cell[2] == doctest::Approx(std::sin(2 * row / 100)).epsilon(1e-14));
  CHECK(cell[3] == doctest::Approx(std::cos(2 * row / 100)).epsilon(1e-14));
  CHECK(cell[4] == doctest::Approx(std::sin(3 * column)).epsilon(1e-14));
  CHECK(cell[7] == doctest::Approx(std::cos(3 * column / 100)).epsilon(1e-14));
  CHECK(map[4] == doctest::Approx(std::sin(column)).epsilon(1e-14));  // the first cell
}

TEST_CASE("parameters have the checkpoint's names and shapes") {
  ParameterStore store;
  PolicyConfig config = small_raster();
  config.base_channels = 64;
  const BevEncoder encoder(store, config);
  const auto has = [&](const std::string& name, const Shape& file_shape) {
    INFO(name);
    const Parameter* parameter = store.find("obs_encoder." + name);
    REQUIRE(parameter);
    CHECK(parameter->file_shape() == file_shape);
  };
  has("perception.conv1.0.weight", {32, 3, 3, 3});
  has("perception.conv1.1.running_var", {32});
  has("perception.conv1.4.bias", {32});
  has("perception.conv1.6.weight", {64, 32, 3, 3});
  has("perception.bn1.running_mean", {64});
  has("perception.layer1.1.conv2.weight", {64, 64, 3, 3});
  has("perception.layer2.0.downsample.1.weight", {128, 64, 1, 1});
  has("perception.layer4.0.downsample.2.weight", {512});
  has("perception.layer4.1.bn2.weight", {512});
  has("bev_model_mot.proj.weight", {256, 512, 1, 1});
  has("bev_model_mot.proj.bias", {256});
  has("lidar_connector.fc1.weight", {512, 256});
  has("init_att.2.weight", {2, 256});
  has("join_ctrl.0.weight", {512, 640});
  has("feature_norm.bias", {256});
  CHECK_FALSE(store.find("obs_encoder.perception.layer1.0.downsample.1.weight"));
  int64_t in_files = 0;
  for (const auto& parameter : store.all()) in_files += parameter->in_files;
  CHECK(in_files == 22 * 5 + 2 + 4 + 16);  // convolutions with norms; projection; connector; state to condition
}

TEST_CASE("in tokens mode nothing of the raster's way is in the model") {
  ParameterStore store;
  const BevEncoder encoder(store, PolicyConfig{});
  for (const auto& parameter : store.all()) {
    INFO(parameter->name);
    for (const char* part : {"perception", "bev_model_mot", "lidar_connector"})
      CHECK(parameter->name.find(part) == std::string::npos);
  }
}

TEST_CASE("tokens may be bf16") {
  PolicyConfig config;
  config.bev_input_size = {32, 64};
  config.cells = 2;
  Encoder encoder(config);
  std::vector<double> numbers = random_numbers<double>(2 * 2 * 512, 3);
  std::vector<uint16_t> bits;
  for (double& number : numbers) {
    bits.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(number)) >> 16));
    number = static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits.back()) << 16));
  }
  const Shape shape{1, 2, 2, 512};
  const auto wide = numbers_of(encoder(tensor_of(encoder.cpu.context, shape, numbers)).value());
  const auto narrow = numbers_of(encoder(tensor_of(encoder.cpu.context, shape, bits)).value());
  CHECK(wide == narrow);
}

TEST_CASE("a frozen backbone gets no gradient and keeps its running statistics") {
  for (const bool frozen : {false, true}) {
    PolicyConfig config = small_raster();
    config.freeze_backbone = frozen;
    Encoder encoder(config);
    const Parameter& statistics = *encoder.store.find("obs_encoder.perception.layer1.0.bn1.running_mean");
    const auto before = numbers_of(statistics.value);
    encoder.cpu.context.tape.begin(encoder.store, false);
    const Variable y =
        encoder(tensor_of(encoder.cpu.context, {1, 2, 3, 32, 64}, random_numbers<double>(2 * 3 * 32 * 64, 3)));
    encoder.cpu.context.tape.backward(
        y, [](const Tensor& d_y, bool) { std::fill_n(d_y.data<double>(), d_y.size(), 1.0); });
    CHECK((numbers_of(statistics.value) == before) == frozen);
    for (const auto& parameter : encoder.store.all()) {
      INFO(parameter->name);
      const bool backbone = parameter->name.find("perception") != std::string::npos;
      CHECK(parameter->trainable == (!parameter->is_buffer && !(frozen && backbone)));
      CHECK(parameter->gradient_written == parameter->trainable);
    }
  }
}

TEST_CASE("sizes that make no sense are refused") {
  const auto refused = [](const PolicyConfig& config, const char* message) {
    ParameterStore store;
    CHECK_THROWS_WITH_AS(BevEncoder(store, config), doctest::Contains(message), Error);
  };
  PolicyConfig config = small_raster();
  config.bev_input_size = {96, 100};
  refused(config, "bev_input_size is [96, 100]: both sides must be positive multiples of 32");
  config = small_raster();
  config.base_channels = 7;
  refused(config, "base_channels is 7");
  config = PolicyConfig{};
  config.cells = 50;
  refused(config, "50 BEV tokens a frame fit neither the 14 x 14 cells");

  Encoder encoder(small_raster());
  CHECK_THROWS_WITH_AS(encoder(encoder.cpu.context.empty({1, 2, 3, 64, 32})),
                       doctest::Contains("[1, 2, 3, 64, 32], but the model expects [1, 2, 3, 32, 64]"), Error);
}

}  // namespace bev::test
