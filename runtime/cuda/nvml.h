// What the driver's management library knows and CUDA does not tell: the driver's version and what lies between two
// GPUs. The library comes with the driver and has no header in the toolkit, so it is opened by name and called through
// the few prototypes that are needed (NVIDIA, "NVML API Reference Guide").
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace bev::nvml {

class Library {
 public:
  Library();
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  /// Why it answers nothing; empty: it does.
  const std::string& problem() const { return problem_; }
  /// "580.65.06"; empty if not known.
  std::string driver_version() const;
  /// The links among GPUs, named by PCIe ids as CUDA writes them; see CudaFacts::links.
  std::vector<std::vector<std::string>> links(const std::vector<std::string>& pci_ids) const;

 private:
  struct Calls;
  std::unique_ptr<Calls> calls_;
  void* library_ = nullptr;
  bool initialised_ = false;
  std::string problem_;
};

/// How a connection is named: by its NVLinks, or by the closest thing that both PCIe ways pass (NVML's topology
/// levels 0, 10 .. 50).
std::string link_name(int nvlinks, int topology_level);

}  // namespace bev::nvml
