#include "runtime/probe.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

namespace bev {

namespace {

std::string text_of_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// What follows "key   : " in the first line that begins so; empty if none does.
std::string value_of(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    if (line.find_first_not_of(" \t", key.size()) != colon) continue;
    const size_t first = line.find_first_not_of(" \t", colon + 1);
    return first == std::string::npos ? "" : line.substr(first);
  }
  return "";
}

/// "  32768 kB" in bytes; 0 if there is no number.
size_t kilobytes(const std::string& text) {
  std::istringstream number(text);
  size_t value = 0;
  number >> value;
  return number ? value * 1024 : 0;
}

}  // namespace

bool CudaFacts::usable() const {
  return std::any_of(gpus.begin(), gpus.end(), [](const GpuFacts& gpu) { return gpu.problem.empty(); });
}

CpuFacts cpu_facts(const std::string& cpuinfo, const std::string& meminfo, int cores) {
  CpuFacts out;
  out.name = value_of(cpuinfo, "model name");
  if (out.name.empty()) out.name = value_of(cpuinfo, "CPU part");  // ARM
  out.cores = cores;
  std::istringstream flags(value_of(cpuinfo, "flags") + " " + value_of(cpuinfo, "Features"));
  const std::vector<std::string> all{std::istream_iterator<std::string>(flags), {}};
  for (const char* wanted : {"avx", "avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile",
                             "amx_bf16", "asimd", "sve", "sve2", "bf16"}) {
    if (std::find(all.begin(), all.end(), wanted) != all.end()) out.instruction_sets.push_back(wanted);
  }
  out.memory_total = kilobytes(value_of(meminfo, "MemTotal"));
  out.memory_available = kilobytes(value_of(meminfo, "MemAvailable"));
  return out;
}

CpuFacts probe_cpu() {
  return cpu_facts(text_of_file("/proc/cpuinfo"), text_of_file("/proc/meminfo"),
                   static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
}

}  // namespace bev
