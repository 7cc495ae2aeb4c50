// What a machine offers: its GPUs with their links and the versions of the CUDA libraries, and its CPU. For people
// who set a machine up, and for messages; nothing here is needed to train. Compiles without CUDA, and says then why
// there is no GPU. Nothing throws: what cannot be found out is left empty, or says why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bev {

struct GpuFacts {
  int ordinal = 0;
  std::string name, pci;  // "0000:3b:00.0"
  int capability_major = 0, capability_minor = 0;
  size_t memory_total = 0, memory_free = 0;  // bytes
  int multiprocessors = 0;
  int clock_mhz = 0, memory_clock_mhz = 0;  // at most; 0: not known
  int memory_bus_bits = 0;
  bool ecc = false;
  std::string problem;  // why training cannot use it; empty: it can
};

struct CudaFacts {
  std::string reason;                       // why there is no GPU: as survey_cuda(); empty where there are some
  std::string driver;                       // "580.65.06"; empty where there is none
  std::string driver_cuda;                  // the newest CUDA that the driver serves: "13.0"
  std::string cuda, cublaslt, cudnn, nccl;  // versions that the program runs with; empty in one without CUDA
  std::vector<GpuFacts> gpus;
  // By GPU and GPU, in the order of `gpus`. Links as nvidia-smi names them: NV4 (four NVLinks, straight or through
  // switches), else what a transfer passes: PIX (one PCIe switch), PXB (several), PHB (a host bridge), NODE (several of
  // one NUMA node), SYS (between NUMA nodes); "?" where nobody says.
  std::vector<std::vector<std::string>> links;
  std::string links_reason;                    // why links are not known; empty: they are
  std::vector<std::vector<bool>> peer_access;  // row's GPU reads column's memory

  bool usable() const;
};
CudaFacts probe_cuda();

struct CpuFacts {
  std::string name;
  int cores = 0;  // logical
  std::vector<std::string> instruction_sets;      // those that matter for speed, of what the CPU has
  size_t memory_total = 0, memory_available = 0;  // bytes
};
CpuFacts probe_cpu();

/// The same from the text of /proc/cpuinfo and /proc/meminfo.
CpuFacts cpu_facts(const std::string& cpuinfo, const std::string& meminfo, int cores);

}  // namespace bev
