// Which devices a run uses: what the command line says, else the configuration, else what there is.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/device.h"
#include "runtime/distributed/communicator.h"
#include "tools/common/run_config.h"

namespace bev {

struct DeviceRequest {
  std::string gpus;    // "0-7", "0,2,5", "all"; empty: not said
  std::string device;  // "cpu", "cuda:2"; empty: not said
  int replicas = 0;    // threads that each are a replica on the CPU; 0: one
};

/// The devices of all replicas.
struct DeviceChoice {
  std::vector<int> gpus;  // one a replica; the same one several times is allowed. Empty: the CPU
  int cpu_replicas = 1;
  int replicas() const { return gpus.empty() ? cpu_replicas : static_cast<int>(gpus.size()); }
  std::string text() const;
};

/// Ordinals from "0-7", "0,2,5", "0,0" or "all" of `count`. Throws Error(usage) saying what was expected behind
/// `option`.
std::vector<int> parse_gpus(const std::string& text, int count, const std::string& option = "--gpus ");

/// Throws Error(usage) on a request that contradicts itself or names what is not there, listing what is. `note` hears
/// why the CPU was chosen where nobody asked for it.
DeviceChoice choose_devices(const DeviceRequest& request, const std::vector<int>& configured,
                            const std::function<void(const std::string&)>& note);

/// The precision in which `choice` multiplies: what `runtime` says; but on a CPU that gains nothing by it fp32 for
/// tf32, and for a bf16 that only `use_mixed_precision` asked for.
Precision precision_on(const DeviceChoice& choice, const RuntimeConfig& runtime);

/// Of a GPU's free memory, what each of `replicas` on it may take: what NCCL and others ask for later is left to them.
inline double share_of_gpu(int64_t replicas) { return 0.95 / static_cast<double>(replicas); }

/// The device of replica `rank`, in that precision.
std::unique_ptr<Device> make_device(const DeviceChoice& choice, int rank, const RuntimeConfig& runtime);

/// Where the replicas meet for collectives over their devices' memory: NCCL for several GPUs, one each; threads
/// otherwise, and where one replica has nobody to meet.
std::shared_ptr<Rendezvous> meet(const DeviceChoice& choice, const std::string& label);

}  // namespace bev
