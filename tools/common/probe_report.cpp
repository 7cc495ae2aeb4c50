#include "tools/common/probe_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace bev {

namespace {

double gibibytes(size_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

std::string or_unknown(const std::string& text) { return text.empty() ? "?" : text; }

/// "CUDA 13.0, cuBLASLt 13.1.0, ...", of those that are known.
std::string versions(const CudaFacts& facts) {
  std::string out;
  for (const auto& [name, version] : {std::pair{"CUDA", &facts.cuda}, std::pair{"cuBLASLt", &facts.cublaslt},
                                      std::pair{"cuDNN", &facts.cudnn}, std::pair{"NCCL", &facts.nccl}}) {
    if (!version->empty()) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, *version);
  }
  if (!facts.driver.empty() || !facts.driver_cuda.empty()) {
    out += fmt::format("; driver {}, for CUDA up to {}", or_unknown(facts.driver), or_unknown(facts.driver_cuda));
  }
  return out.empty() ? out : out + "\n";
}

std::string table_of_gpus(const std::vector<GpuFacts>& gpus) {
  size_t widest = 4;
  for (const GpuFacts& gpu : gpus) widest = std::max(widest, gpu.name.size());
  std::string out = fmt::format("gpu  {:<{}}  {:>4}  {:>16}  {:>3}  {:>8}  {:>10}  {:>8}  {:<3}  {}\n", "name", widest,
                                "arch", "GiB free / total", "SMs", "clock", "mem. clock", "bus", "ECC", "PCIe");
  for (const GpuFacts& gpu : gpus) {
    out += fmt::format("{:>3}  {:<{}}  {:>4}  {:>16}  {:>3}  {:>8}  {:>10}  {:>8}  {:<3}  {}\n", gpu.ordinal, gpu.name,
                       widest, fmt::format("{}.{}", gpu.capability_major, gpu.capability_minor),
                       fmt::format("{:.1f} / {:.1f}", gibibytes(gpu.memory_free), gibibytes(gpu.memory_total)),
                       gpu.multiprocessors, fmt::format("{} MHz", gpu.clock_mhz),
                       fmt::format("{} MHz", gpu.memory_clock_mhz), fmt::format("{} bit", gpu.memory_bus_bits),
                       gpu.ecc ? "on" : "off", gpu.pci);
    if (!gpu.problem.empty()) out += fmt::format("     not usable: {}\n", gpu.problem);
  }
  return out;
}

std::string matrix_of_links(const CudaFacts& facts) {
  if (!facts.links_reason.empty()) return fmt::format("links: not known, since {}\n", facts.links_reason);
  std::string out = "links";
  for (const GpuFacts& gpu : facts.gpus) out += fmt::format("  {:>5}", gpu.ordinal);
  out += "\n";
  for (size_t i = 0; i < facts.links.size(); ++i) {
    out += fmt::format("{:>5}", facts.gpus[i].ordinal);
    for (const std::string& link : facts.links[i]) out += fmt::format("  {:>5}", link);
    out += "\n";
  }
  return out;
}

std::string peers(const CudaFacts& facts) {
  std::string out;
  for (size_t i = 0; i < facts.peer_access.size(); ++i) {
    for (size_t j = 0; j < facts.peer_access[i].size(); ++j) {
      if (!facts.peer_access[i][j]) {
        out += fmt::format("{}{} of {}", out.empty() ? "" : ", ", facts.gpus[i].ordinal, facts.gpus[j].ordinal);
      }
    }
  }
  return out.empty() ? "peer access: every GPU reads every other's memory\n"
                     : fmt::format("peer access: all but {}\n", out);
}

}  // namespace

std::string describe(const CudaFacts& facts) {
  std::string out = versions(facts);
  if (facts.gpus.empty()) return out + fmt::format("no GPU: {}\n", facts.reason);
  out += table_of_gpus(facts.gpus);
  if (facts.gpus.size() > 1) out += matrix_of_links(facts) + peers(facts);
  if (!facts.usable()) out += "no GPU of these is usable\n";
  return out;
}

std::string describe(const CpuFacts& facts) {
  std::string sets;
  for (const std::string& set : facts.instruction_sets) sets += fmt::format("{}{}", sets.empty() ? "" : " ", set);
  return fmt::format("cpu: {}, {} cores, {}, {:.1f} of {:.1f} GiB of memory available\n", or_unknown(facts.name),
                     facts.cores, sets.empty() ? "no instruction set beyond the basic one" : sets,
                     gibibytes(facts.memory_available), gibibytes(facts.memory_total));
}

nlohmann::json to_json(const CudaFacts& facts) {
  nlohmann::json out = {{"usable", facts.usable()},
                        {"reason", facts.reason},
                        {"driver", facts.driver},
                        {"driver_cuda", facts.driver_cuda},
                        {"cuda", facts.cuda},
                        {"cublaslt", facts.cublaslt},
                        {"cudnn", facts.cudnn},
                        {"nccl", facts.nccl},
                        {"links", facts.links},
                        {"links_reason", facts.links_reason},
                        {"peer_access", facts.peer_access},
                        {"gpus", nlohmann::json::array()}};
  for (const GpuFacts& gpu : facts.gpus) {
    out["gpus"].push_back({{"ordinal", gpu.ordinal},
                           {"name", gpu.name},
                           {"pci", gpu.pci},
                           {"compute_capability", fmt::format("{}.{}", gpu.capability_major, gpu.capability_minor)},
                           {"memory_total", gpu.memory_total},
                           {"memory_free", gpu.memory_free},
                           {"multiprocessors", gpu.multiprocessors},
                           {"clock_mhz", gpu.clock_mhz},
                           {"memory_clock_mhz", gpu.memory_clock_mhz},
                           {"memory_bus_bits", gpu.memory_bus_bits},
                           {"ecc", gpu.ecc},
                           {"problem", gpu.problem}});
  }
  return out;
}

nlohmann::json to_json(const CpuFacts& facts) {
  return {{"name", facts.name},
          {"cores", facts.cores},
          {"instruction_sets", facts.instruction_sets},
          {"memory_total", facts.memory_total},
          {"memory_available", facts.memory_available}};
}

}  // namespace bev
