// parity [--dtype f64|f32|tf32|bf16] [--device cpu|cuda:N] [--plain] [--fault NAME] [--verbose] FILE...: whether the
// policy computes what the reference computed, case by case (tests/parity/case.h). Exits with 1 if an entry of any case
// is out; with a fault, if none is.
#include <cxxopts.hpp>
#include <map>

#include "runtime/device.h"
#include "tests/parity/run_case.h"

namespace {

constexpr int skipped = 77;  // what CTest counts as skipped

/// The value of an option that is one of a few words.
template <class Value>
Value word_of(const cxxopts::ParseResult& arguments, const std::string& option,
              const std::map<std::string, Value>& known) {
  const auto given = arguments[option].as<std::string>();
  if (const auto found = known.find(given); found != known.end()) return found->second;
  std::string words;
  for (const auto& [word, value] : known) words += (words.empty() ? "" : ", ") + word;
  bev::fail(bev::ErrorKind::usage, "--{} {}: expected one of {}", option, given, words);
}

const std::map<std::string, bev::parity::Numbers> known_numbers = {{"f64", bev::parity::Numbers::f64},
                                                                   {"f32", bev::parity::Numbers::f32},
                                                                   {"tf32", bev::parity::Numbers::tf32},
                                                                   {"bf16", bev::parity::Numbers::bf16}};
const std::map<std::string, bev::test::Fault> known_faults = {{"none", bev::test::Fault::none},
                                                              {"truncated", bev::test::Fault::truncated},
                                                              {"narrow-sums", bev::test::Fault::narrow_sums},
                                                              {"lost", bev::test::Fault::lost},
                                                              {"unrounded", bev::test::Fault::unrounded}};

int run(int argc, char** argv) {
  cxxopts::Options options("parity", "Checks the policy against what the reference computed.");
  options.add_options()("dtype", "f64, f32, tf32 or bf16", cxxopts::value<std::string>()->default_value("f64"))(
      "device", "cpu or cuda:N", cxxopts::value<std::string>()->default_value("cpu"))(
      "plain", "without the exact restructurings")(
      "fault", "compute in bf16 on the CPU with a fault, which is to be found: truncated, narrow-sums, lost, unrounded",
      cxxopts::value<std::string>()->default_value("none"))("verbose", "print every entry")(
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
  const bev::parity::RunOptions run_options{.numbers = word_of(arguments, "dtype", known_numbers),
                                            .device = arguments["device"].as<std::string>(),
                                            .plain = arguments.count("plain") > 0,
                                            .verbose = arguments.count("verbose") > 0,
                                            .fault = word_of(arguments, "fault", known_faults)};
  const bool faulty = run_options.fault != bev::test::Fault::none;
  if (faulty && (run_options.numbers != bev::parity::Numbers::bf16 || run_options.device != "cpu")) {
    bev::fail(bev::ErrorKind::usage, "--fault: faults are of bf16 on the CPU: expected --dtype bf16 --device cpu");
  }
  if (run_options.device != "cpu" && arguments.count("skip-without-gpu") && bev::survey_cuda().count == 0) {
    fmt::print("skipped: {}\n", bev::survey_cuda().reason);
    return skipped;
  }
  int failed = 0, passed = 0;
  bev::parity::BesideRounding beside;
  for (const std::string& file : arguments["files"].as<std::vector<std::string>>()) {
    const bool good = bev::parity::run_case(file, run_options, beside);
    passed += good;
    failed += !good;
  }
  const bool good = beside.finish() && failed == 0;
  fmt::print("{} passed, {} failed\n", passed, failed);
  if (faulty) fmt::print("the fault was {}\n", good ? "not found" : "found");
  return good == faulty;
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
