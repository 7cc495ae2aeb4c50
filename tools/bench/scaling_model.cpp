#include "tools/bench/scaling_model.h"

#include <algorithm>

namespace bev {

double ring_seconds(const MachineModel& machine, double bytes, int gpus) {
  if (gpus <= 1) return 0;
  return machine.collective_s + 2.0 * (gpus - 1) / gpus * bytes / machine.link_bytes_per_second;
}

ScalingResult predict_scaling(const MachineModel& machine, const StepWork& work, double bucket_bytes, int gpus) {
  const double forward = machine.seconds(work.forward), backward = machine.seconds(work.backward),
               optimizer = machine.seconds(work.optimizer);
  ScalingResult out{.gpus = gpus};
  double link_free = 0, bucket = 0;  // the link's time, from the start of backward; bytes waiting
  for (size_t i = 0; i < work.gradients.size(); ++i) {
    bucket += work.gradients[i].bytes;
    if (bucket < bucket_bytes && i + 1 < work.gradients.size()) continue;
    const double ready = machine.seconds(work.gradients[i].before), taken = ring_seconds(machine, bucket, gpus);
    link_free = std::max(link_free, ready) + taken;
    out.communication_s += taken;
    bucket = 0;
  }
  out.exposed_s = gpus > 1 ? std::max(0.0, link_free - backward) : 0;
  const double alone = forward + backward + optimizer;
  out.step_s = alone + out.exposed_s;
  out.speedup = gpus * alone / out.step_s;
  return out;
}

}  // namespace bev
