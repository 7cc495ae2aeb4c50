// device_cases cpu|cuda [fp32|tf32|bf16] [NAME]: every gradient case in float on a device, its
// output and all gradients against float64 on the CPU. Prints the worst error of each (of those whose name contains
// NAME) and what it may be; exits with 1 if one is too large, with 77 where there is no GPU.
//
// How far a case may be off depends on its conditioning. Except for fp32 on the CPU the measure is the CPU's own error
// with inputs of products rounded beforehand as the device rounds them, and on a GPU the larger of two: TF32 may round
// to the nearest or towards zero, and at fp32 a single sample of what rounding does can be small by luck, so that
// factors with one bit less are a second (the condition encoder with padding masked: 7e-6 and 9e-5, and a GPU's
// algorithms gave from 2e-6 to 6e-5). float32 is compared element by element; in coarser arithmetic a ReLU may flip
// here and there, so tensors are compared by their norms.
#include <array>
#include <string_view>

#include "tests/gradients/cases.h"
#include "tests/support/cpu_context.h"
#include "tests/support/gpu_context.h"
#include "tests/support/rounded_engines.h"

namespace {

using namespace bev;
using namespace bev::test;

constexpr int skipped = 77;  // what CTest counts as skipped

struct Row {
  std::string_view name;
  Precision precision;
  GradientResult (*compare)(const std::vector<NamedNumbers>& ours, const std::vector<NamedNumbers>& theirs);
  double roundings;  // that a case may be off by where the CPU happens to be exact: a few of 2^-24, 2^-11 or 2^-8
};
constexpr std::array<Row, 3> rows = {{{"fp32", Precision::fp32, largest_difference, 1e-5},
                                      {"tf32", Precision::tf32, largest_distance, 2e-3},
                                      {"bf16", Precision::bf16, largest_distance, 2e-2}}};
constexpr double on_cpu_at_most = 2e-4, times_the_cpu = 4;

struct Outcome {
  GradientResult result;
  double at_most;
};

Outcome outcome_of(const GradientCase& test, const Row& row, bool on_gpu) {
  CpuContext exact;
  const auto expected = evaluate(test, exact.context);
  const auto error_with = [&](std::unique_ptr<MatmulEngine> matmul, std::unique_ptr<ConvolutionEngine> convolution) {
    CpuContext rounded(DType::f32);
    rounded.context.matmul = std::move(matmul);
    rounded.context.convolution = std::move(convolution);
    return row.compare(evaluate(test, rounded.context), expected);
  };
  const auto by_rounding = [&](Tf32Factors tf32) {
    return error_with(make_rounded_matmul(row.precision, tf32), make_rounded_convolution(row.precision, tf32));
  };
  GradientResult of_cpu = by_rounding(Tf32Factors::nearest);
  if (on_gpu) {
    const GradientResult other = row.precision == Precision::fp32
                                     ? error_with(make_shortened_matmul(), make_shortened_convolution())
                                     : by_rounding(Tf32Factors::cut_off);  // at bf16 convolutions are at TF32
    if (!(other.worst_error <= of_cpu.worst_error)) of_cpu = other;
  }
  if (!on_gpu && row.precision == Precision::fp32) return {of_cpu, on_cpu_at_most};
  const double at_most = row.roundings + times_the_cpu * of_cpu.worst_error;
  if (on_gpu) {
    GpuContext gpu(row.precision);
    return {row.compare(evaluate(test, gpu.context), expected), at_most};
  }
  CpuContext cpu(DType::f32);
  cpu.context.matmul = row.precision == Precision::tf32 ? make_cpu_tf32_matmul() : make_cpu_bf16_matmul();
  return {row.compare(evaluate(test, cpu.context), expected), at_most};
}

int run(bool on_gpu, const Row& row, std::string_view wanted) {
  int checked = 0, failed = 0;
  for (const GradientCase& test : all_cases()) {
    if (test.name.find(wanted) == std::string::npos) continue;
    const auto [result, at_most] = outcome_of(test, row, on_gpu);
    const bool good = result.worst_error <= at_most;
    fmt::print("{:4} {:9.1e} of {:9.1e}  {}{}\n", good ? "ok" : "FAIL", result.worst_error, at_most, test.name,
               good ? "" : ": " + result.worst_place);
    ++checked;
    failed += !good;
  }
  fmt::print("{} passed, {} failed\n", checked - failed, failed);
  return checked == 0 || failed > 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  const bool on_gpu = !arguments.empty() && arguments[0] == "cuda";
  const Row* row = rows.data();
  size_t before_name = 1;
  for (const Row& known : rows) {
    if (arguments.size() > 1 && known.name == arguments[1]) row = &known, before_name = 2;
  }
  const bool on_cpu = !arguments.empty() && arguments[0] == "cpu";
  if (!(on_gpu || on_cpu) || arguments.size() > before_name + 1) {
    fmt::print(stderr, "usage: device_cases cpu|cuda [fp32|tf32|bf16] [NAME]\n");
    return static_cast<int>(ErrorKind::usage);
  }
  if (on_gpu && survey_cuda().count == 0) {
    fmt::print("skipped: {}\n", survey_cuda().reason);
    return skipped;
  }
  try {
    return run(on_gpu, *row, arguments.size() > before_name ? arguments[before_name] : "");
  } catch (const std::exception& error) {
    fmt::print(stderr, "device_cases: {}\n", error.what());
    return 1;
  }
}
