// parity [--dtype f64|f32|tf32|bf16] [--device cpu|cuda:N] [--plain] [--verbose] FILE...: whether the policy computes
// what the reference computed, case by case (tests/parity/case.h). Exits with 1 if an entry of any case is out.
#include <cxxopts.hpp>
#include <map>

#include "runtime/device.h"
#include "tests/parity/run_case.h"

namespace {

constexpr int skipped = 77;  // what CTest counts as skipped

bev::parity::Numbers numbers_of(const std::string& name) {
  const std::map<std::string, bev::parity::Numbers> known = {{"f64", bev::parity::Numbers::f64},
                                                             {"f32", bev::parity::Numbers::f32},
                                                             {"tf32", bev::parity::Numbers::tf32},
                                                             {"bf16", bev::parity::Numbers::bf16}};
  const auto found = known.find(name);
  if (found == known.end()) {
    bev::fail(bev::ErrorKind::usage, "--dtype {}: expected f64, f32, tf32 or bf16", name);
  }
  return found->second;
}

int run(int argc, char** argv) {
  cxxopts::Options options("parity", "Checks the policy against what the reference computed.");
  options.add_options()("dtype", "f64, f32, tf32 or bf16", cxxopts::value<std::string>()->default_value("f64"))(
      "device", "cpu or cuda:N", cxxopts::value<std::string>()->default_value("cpu"))(
      "plain", "without the exact restructurings")("verbose", "print every entry")(
      "skip-without-gpu", "report skipped, instead of an error, where the GPU is not there")("help", "this text")(
      "files", "cases", cxxopts::value<std::vector<std::string>>());
  options.parse_positional({"files"});
  options.positional_help("FILE...");
  const auto arguments = options.parse(argc, argv);
  if (arguments.count("help")) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (!arguments.count("files")) bev::fail(bev::ErrorKind::usage, "no case was named: parity FILE...");
  const bev::parity::RunOptions run_options{.numbers = numbers_of(arguments["dtype"].as<std::string>()),
                                            .device = arguments["device"].as<std::string>(),
                                            .plain = arguments.count("plain") > 0,
                                            .verbose = arguments.count("verbose") > 0};
  if (run_options.device != "cpu" && arguments.count("skip-without-gpu") && bev::survey_cuda().count == 0) {
    fmt::print("skipped: {}\n", bev::survey_cuda().reason);
    return skipped;
  }
  int failed = 0, passed = 0;
  for (const std::string& file : arguments["files"].as<std::vector<std::string>>()) {
    const bool good = bev::parity::run_case(file, run_options);
    passed += good;
    failed += !good;
  }
  fmt::print("{} passed, {} failed\n", passed, failed);
  return failed > 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const bev::Error& error) {
    fmt::print(stderr, "parity: {}\n", error.what());
    return error.exit_status();
  } catch (const std::exception& error) {
    fmt::print(stderr, "parity: {}\n", error.what());
    return 1;
  }
}
