// How fast several GPUs train together, on paper: from the time line of one GPU's backward pass, which says when each
// gradient is complete, and the link between the GPUs. The reduction is that of runtime/distributed/reducer.h: buckets
// in the order of storage, each enqueued when its last gradient is complete, one after the other on their own stream,
// while backward goes on. All GPUs are alike and in step; what data loading or a slow GPU may cost is not in the model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/stream.h"

namespace bev {

/// What a GPU reaches and what lies between two of them.
struct MachineModel {
  double flop_per_second = 0;        // of products and convolutions
  double bytes_per_second = 0;       // of row and element kernels, read and written
  double launch_s = 0;               // of every launch, where kernels are short
  double link_bytes_per_second = 0;  // in each direction, of one GPU, that a ring of all sustains
  double collective_s = 0;           // of every reduction, before bytes flow

  double seconds(const WorkTally& work) const {
    return (work.matmul_flop + work.convolution_flop) / flop_per_second + work.bytes / bytes_per_second +
           static_cast<double>(work.launches) * launch_s;
  }
};

/// A gradient that backward completes.
struct GradientEvent {
  std::string name;
  double bytes = 0;
  WorkTally before;  // of the backward pass, up to here
};

/// A step of one GPU.
struct StepWork {
  WorkTally forward, backward, optimizer;
  std::vector<GradientEvent> gradients;  // in the order of completion, which is that of storage
};

struct ScalingResult {
  int gpus = 1;
  double step_s = 0;
  double communication_s = 0;  // that the link is busy
  double exposed_s = 0;        // of it, after the end of backward
  double speedup = 1;          // samples per second, over those of one GPU with the same samples a GPU
};

/// Time of a ring's all-reduce of `bytes` among `gpus`: every GPU sends and receives 2 (n - 1) / n of them (Patarasuk
/// and Yuan 2009).
double ring_seconds(const MachineModel& machine, double bytes, int gpus);

/// `bucket_bytes`: a bucket is closed once it holds as much.
ScalingResult predict_scaling(const MachineModel& machine, const StepWork& work, double bucket_bytes, int gpus);

}  // namespace bev
