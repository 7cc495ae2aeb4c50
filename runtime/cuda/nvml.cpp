#include "runtime/cuda/nvml.h"

#include <dlfcn.h>
#include <fmt/core.h>
#include <strings.h>

#include <algorithm>
#include <map>

namespace bev::nvml {

namespace {

using Device = struct nvmlDevice_st*;
constexpr int success = 0, enabled = 1, remote_is_switch = 2;
constexpr unsigned links_at_most = 18;  // of one GPU

struct PciInfo {
  char legacy_id[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char id[32];
};

/// "00000000:3B:00.0" and "0000:3b:00.0" are the same place.
bool same_place(const std::string& a, const std::string& b) {
  const auto tail = [](const std::string& id) { return id.size() > 12 ? id.substr(id.size() - 12) : id; };
  return strcasecmp(tail(a).c_str(), tail(b).c_str()) == 0;
}

}  // namespace

struct Library::Calls {
  int (*init)();
  int (*shutdown)();
  int (*driver_version)(char*, unsigned);
  int (*device_by_pci)(const char*, Device*);
  int (*common_ancestor)(Device, Device, int*);
  int (*link_state)(Device, unsigned, int*);
  int (*link_remote_pci)(Device, unsigned, PciInfo*);
  int (*link_remote_type)(Device, unsigned, int*);  // null in drivers before 470
};

std::string link_name(int nvlinks, int topology_level) {
  if (nvlinks > 0) return fmt::format("NV{}", nvlinks);
  switch (topology_level) {
    case 0:  // on one board
    case 10:
      return "PIX";
    case 20:
      return "PXB";
    case 30:
      return "PHB";
    case 40:
      return "NODE";
    case 50:
      return "SYS";
    default:
      return "?";
  }
}

Library::Library() : calls_(std::make_unique<Calls>()) {
  library_ = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library_) {
    problem_ = "libnvidia-ml.so.1, which comes with the driver, is not there";
    return;
  }
  const auto find = [&](auto& call, const char* name, bool needed = true) {
    call = reinterpret_cast<std::remove_reference_t<decltype(call)>>(dlsym(library_, name));
    if (!call && needed && problem_.empty()) problem_ = fmt::format("libnvidia-ml.so.1 has no {}", name);
  };
  find(calls_->init, "nvmlInit_v2");
  find(calls_->shutdown, "nvmlShutdown");
  find(calls_->driver_version, "nvmlSystemGetDriverVersion");
  find(calls_->device_by_pci, "nvmlDeviceGetHandleByPciBusId_v2");
  find(calls_->common_ancestor, "nvmlDeviceGetTopologyCommonAncestor");
  find(calls_->link_state, "nvmlDeviceGetNvLinkState");
  find(calls_->link_remote_pci, "nvmlDeviceGetNvLinkRemotePciInfo_v2");
  find(calls_->link_remote_type, "nvmlDeviceGetNvLinkRemoteDeviceType", false);
  if (!problem_.empty()) return;
  const int status = calls_->init();
  initialised_ = status == success;
  if (!initialised_) problem_ = fmt::format("libnvidia-ml.so.1 does not start (NVML error {})", status);
}

Library::~Library() {
  if (initialised_) calls_->shutdown();
  if (library_) dlclose(library_);
}

std::string Library::driver_version() const {
  char version[80] = "";
  if (!initialised_ || calls_->driver_version(version, sizeof version) != success) return "";
  return version;
}

std::vector<std::vector<std::string>> Library::links(const std::vector<std::string>& pci_ids) const {
  const size_t count = pci_ids.size();
  std::vector<std::vector<std::string>> out(count, std::vector<std::string>(count, "?"));
  if (!initialised_) return out;
  std::vector<Device> devices(count, nullptr);
  std::vector<int> to_switch(count, 0);
  std::vector<std::vector<int>> straight(count, std::vector<int>(count, 0));
  for (size_t i = 0; i < count; ++i) {
    if (calls_->device_by_pci(pci_ids[i].c_str(), &devices[i]) != success) {
      devices[i] = nullptr;
      continue;
    }
    for (unsigned link = 0; link < links_at_most; ++link) {
      int state = 0, type = 0;
      if (calls_->link_state(devices[i], link, &state) != success || state != enabled) continue;
      const bool typed = calls_->link_remote_type && calls_->link_remote_type(devices[i], link, &type) == success;
      if (typed && type == remote_is_switch) {
        ++to_switch[i];
        continue;
      }
      PciInfo remote = {};
      if (calls_->link_remote_pci(devices[i], link, &remote) != success) continue;
      for (size_t j = 0; j < count; ++j) straight[i][j] += j != i && same_place(remote.id, pci_ids[j]);
    }
  }
  for (size_t i = 0; i < count; ++i) {
    out[i][i] = std::string("X");
    for (size_t j = 0; j < count; ++j) {
      if (i == j || !devices[i] || !devices[j]) continue;
      int level = -1;
      if (calls_->common_ancestor(devices[i], devices[j], &level) != success) level = -1;
      out[i][j] = link_name(straight[i][j] + std::min(to_switch[i], to_switch[j]), level);
    }
  }
  return out;
}

}  // namespace bev::nvml
