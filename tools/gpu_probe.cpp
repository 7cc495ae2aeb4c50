// gpu_probe [--json]: what this machine offers for training. Exits with 0 if there is a usable GPU, with 1 if there is
// none; it then says why, and what the CPU offers.
#include <fmt/core.h>

#include <cxxopts.hpp>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "tools/common/probe_report.h"

namespace {

int run(int argc, char** argv) {
  cxxopts::Options options("gpu_probe", "What this machine offers for training. Exits with 1 where no GPU is usable.");
  options.add_options()("json", "for programs")("h,help", "this text");
  const auto arguments = options.parse(argc, argv);
  if (arguments.count("help") > 0) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (!arguments.unmatched().empty()) {
    bev::fail(bev::ErrorKind::usage, "\"{}\" is one argument too many", arguments.unmatched()[0]);
  }
  const bev::CudaFacts cuda = bev::probe_cuda();
  const bev::CpuFacts cpu = bev::probe_cpu();
  if (arguments.count("json") > 0) {
    const nlohmann::json out = {{"cuda", bev::to_json(cuda)}, {"cpu", bev::to_json(cpu)}};
    fmt::print("{}\n", out.dump(2));
  } else {
    fmt::print("{}{}", bev::describe(cuda), bev::describe(cpu));
  }
  return cuda.usable() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const bev::Error& error) {
    fmt::print(stderr, "gpu_probe: {}\n", error.what());
    return error.exit_status();
  } catch (const std::exception& error) {  // the option library's, whose type has had several names
    fmt::print(stderr, "gpu_probe: {}\n", error.what());
    return static_cast<int>(bev::ErrorKind::usage);
  }
}
