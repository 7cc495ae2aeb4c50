// gpu_probe: what it prints of machines that this one need not be, and how the program ends on this one.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/device.h"
#include "tests/support/temporary_folder.h"
#include "tools/common/fit.h"
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
  CHECK(gpu_probe("--config no/such/file.yaml").status == 2);
  CHECK(gpu_probe("--set dataloader.batch_size=2").status == 2);
  CHECK(gpu_probe("--jason").status == 2);
  CHECK(gpu_probe("0").status == 2);
}

TEST_CASE("whether a model fits, and what a step takes at given rates") {
  const auto run = load_run("", {"bev_encoder.mode=tokens", "dataloader.batch_size=8"});
  const auto device = make_cpu_device();
  const Fit roomy = fit_to_device(run->config, *device, size_t{1} << 40, nullptr);
  CHECK(roomy.fits);
  CHECK(roomy.batch == 8);
  CHECK(roomy.step_s == 0);
  CHECK(roomy.largest > 8);
  const Fit exact = fit_to_device(run->config, *device, roomy.needed, nullptr);
  CHECK(exact.fits);
  CHECK(exact.largest == 8);
  const Fit tight = fit_to_device(run->config, *device, roomy.needed - 1, nullptr);
  CHECK_FALSE(tight.fits);
  CHECK(tight.largest == 7);
  CHECK(contains(describe(tight), "it does not fit, the largest that does is 7"));
  const Fit none = fit_to_device(run->config, *device, 1 << 20, nullptr);
  CHECK(none.largest == 0);
  CHECK(contains(describe(none), "not even one sample"));
  CHECK(to_json(none).at("estimated_step_s").is_null());

  WorkTally work;
  work.matmul_flop = 4e12, work.convolution_flop = 3e12, work.bytes = 10e9, work.launches = 500;
  DeviceRates rates;
  rates.matmul_flop = 2e12, rates.convolution_flop = 1e12, rates.copy_bytes = 5e9, rates.launch_s = 1e-3;
  CHECK(estimated_seconds(work, rates) == doctest::Approx(2 + 3 + 2 + 0.5));
}

TEST_CASE("measured rates are those of a device that works") {
  const DeviceRates rates = measure_rates(*make_cpu_device());
  CHECK(rates.matmul_flop > 1e6);
  CHECK(rates.convolution_flop > 1e6);
  CHECK(rates.copy_bytes > 1e6);
  CHECK(rates.launch_s > 0);
  CHECK(rates.staging_bytes == 0);
  CHECK(to_json(rates).at("matmul_flop_per_s") == rates.matmul_flop);
}

}  // namespace bev::test
