// gpu_probe: what it prints of machines that this one need not be, and how the program ends on this one.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/device.h"
#include "tests/support/temporary_folder.h"
#include "tools/common/probe_report.h"

namespace bev::test {

namespace {

CudaFacts two_gpus() {
  CudaFacts facts;
  facts.driver = "580.65.06";
  facts.driver_cuda = facts.cuda = "13.0";
  facts.cublaslt = "13.1.0";
  facts.cudnn = "9.19.0";
  facts.nccl = "2.28.9";
  for (int i = 0; i < 2; ++i) {
    facts.gpus.push_back({.ordinal = i,
                          .name = "NVIDIA H100 80GB HBM3",
                          .pci = i == 0 ? "0000:19:00.0" : "0000:3b:00.0",
                          .capability_major = 9,
                          .memory_total = size_t{85} << 30,
                          .memory_free = size_t{80} << 30,
                          .multiprocessors = 132,
                          .clock_mhz = 1980,
                          .memory_clock_mhz = 2619,
                          .memory_bus_bits = 5120,
                          .ecc = true,
                          .problem = ""});
  }
  facts.links = {{"X", "NV18"}, {"NV18", "X"}};
  facts.peer_access = {{true, true}, {true, true}};
  return facts;
}

struct Ended {
  int status = -1;
  std::string output;
};

/// Runs the program as a user does.
Ended gpu_probe(const std::string& arguments) {
  Ended out;
  FILE* pipe = popen((std::string(BEV_TOOLS_DIRECTORY "/gpu_probe ") + arguments + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> buffer;
  for (size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) out.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

}  // namespace

TEST_CASE("a machine with two GPUs as a table") {
  const std::string text = describe(two_gpus());
  CHECK(contains(text, "CUDA 13.0, cuBLASLt 13.1.0, cuDNN 9.19.0, NCCL 2.28.9; driver 580.65.06, for CUDA up to 13.0"));
  CHECK(contains(text, "80.0 / 85.0"));
  CHECK(contains(text, "links      0      1\n    0      X   NV18\n    1   NV18      X\n"));
  CHECK(contains(text, "every GPU reads every other's memory"));
  size_t width = 0, begin = text.find("gpu  name");
  for (int line = 0; line < 3; ++line) {  // columns stand below one another: the last one begins where it did
    const size_t end = text.find('\n', begin), last = text.find_last_of(' ', end) - begin;
    if (line > 0) CHECK(last == width);
    width = last;
    begin = end + 1;
  }
}

TEST_CASE("what is wrong with a machine is said") {
  CudaFacts facts = two_gpus();
  facts.links_reason = "libnvidia-ml.so.1, which comes with the driver, is not there";
  facts.peer_access[1][0] = false;
  facts.gpus[0].problem = "its compute capability is 7.5, expected 8.0 or newer";
  CHECK(facts.usable());
  const std::string text = describe(facts);
  CHECK(contains(text, "links: not known, since libnvidia-ml.so.1"));
  CHECK(contains(text, "peer access: all but 1 of 0"));
  CHECK(contains(text, "not usable: its compute capability is 7.5"));
  CHECK_FALSE(contains(text, "no GPU of these is usable"));
  facts.gpus[1].problem = "out of memory (CUDA error 2)";
  CHECK_FALSE(facts.usable());
  CHECK(contains(describe(facts), "no GPU of these is usable"));

  CudaFacts none;
  none.reason = "no driver, or one older than this CUDA (CUDA error 35)";
  CHECK_FALSE(none.usable());
  CHECK(describe(none) == "no GPU: no driver, or one older than this CUDA (CUDA error 35)\n");
}

TEST_CASE("the facts as JSON") {
  const nlohmann::json json = nlohmann::json::parse(to_json(two_gpus()).dump());
  CHECK(json.at("usable") == true);
  CHECK(json.at("gpus").size() == 2);
  CHECK(json.at("gpus")[1].at("pci") == "0000:3b:00.0");
  CHECK(json.at("gpus")[1].at("compute_capability") == "9.0");
  CHECK(json.at("gpus")[0].at("memory_total") == size_t{85} << 30);
  CHECK(json.at("links")[0][1] == "NV18");
  CHECK(json.at("peer_access")[0][1] == true);
}

TEST_CASE("what a CPU is, from what the system says of it") {
  const CpuFacts facts = cpu_facts(
      "processor\t: 0\nmodel name\t: Some CPU @ 2.5GHz: fast\nmodel name extra : no\nflags\t\t: fpu avx avx2 fma "
      "avx512f avx512vl\n\nprocessor\t: 1\nmodel name\t: Other\n",
      "MemTotal:       4096 kB\nMemFree: 12 kB\nMemAvailable:   1024 kB\n", 3);
  CHECK(facts.name == "Some CPU @ 2.5GHz: fast");
  CHECK(facts.instruction_sets == std::vector<std::string>{"avx", "avx2", "fma", "avx512f"});
  CHECK(facts.memory_total == 4096 * 1024);
  CHECK(facts.memory_available == 1024 * 1024);
  CHECK(describe(facts) ==
        "cpu: Some CPU @ 2.5GHz: fast, 3 cores, avx avx2 fma avx512f, 0.0 of 0.0 GiB of memory available\n");
  const CpuFacts unknown = cpu_facts("", "", 1);
  CHECK(unknown.memory_total == 0);
  CHECK(contains(describe(unknown), "cpu: ?, 1 cores, no instruction set beyond the basic one"));
}

TEST_CASE("of this machine") {
  const CpuFacts cpu = probe_cpu();
  CHECK(cpu.cores >= 1);
  CHECK(cpu.memory_total > cpu.memory_available);
  const CudaFacts cuda = probe_cuda();
  const CudaSurvey survey = survey_cuda();
  CHECK(static_cast<int>(cuda.gpus.size()) == survey.count);
  CHECK(cuda.reason == survey.reason);
  CHECK(cuda.reason.empty() == (survey.count > 0));
  CHECK(contains(describe(cuda), survey.count > 0 ? cuda.gpus[0].name : survey.reason));
}

TEST_CASE("the program's exit status says whether there is a GPU to use") {
  const int expected = probe_cuda().usable() ? 0 : 1;
  const Ended table = gpu_probe("");
  CHECK(table.status == expected);
  CHECK(contains(table.output, "cpu: "));
  const Ended json = gpu_probe("--json");
  CHECK(json.status == expected);
  const nlohmann::json parsed = nlohmann::json::parse(json.output, nullptr, false);
  REQUIRE(parsed.is_object());
  CHECK(parsed.at("cuda").at("usable") == (expected == 0));
  CHECK(parsed.at("cpu").at("cores") == probe_cpu().cores);
  CHECK(gpu_probe("--help").status == 0);
  CHECK(gpu_probe("--jason").status == 2);
  CHECK(gpu_probe("0").status == 2);
}

}  // namespace bev::test
