// Proves, before training starts, that all replicas reach each other: sums of known numbers, checked element by
// element, and the bandwidth that they saw. A link that is down shows here, under a deadline, and not as a hang in the
// first step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/device.h"
#include "runtime/distributed/communicator.h"

namespace bev {

struct LinkReport {
  std::string communicator;          // "nccl 2.28.9"
  std::vector<std::string> devices;  // by replica
  int64_t bytes = 0;                 // of the span that was summed
  double seconds = 0;                // of the quickest of the sums, until the last replica had it
  /// What each replica sent, in a ring, over that time: comparable with what a link promises.
  double bytes_per_second() const;
  /// "4 replicas (cuda:0, cuda:1, cuda:2, cuda:3) over nccl 2.28.9: sums of 64.0 MiB are right; 1.20 ms, 84.0 GB/s each
  /// way"
  std::string text() const;
};

/// A collective of all replicas, on each one's thread; a deadline is ReplicaGroup::run()'s. `communicator` is the one
/// to be proved, `host` reaches host memory. Memory is taken from the device for the time of the check, so: before the
/// first step. Throws Error(ErrorKind::runtime) naming the replica and element where a sum is wrong.
LinkReport check_links(Communicator& communicator, Communicator& host, Device& device, int64_t bytes);

}  // namespace bev
