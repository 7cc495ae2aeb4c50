// The ranks of one unique id: where they meet when they join, in every collective, and at their end. Who waits here is
// the thread of a stream or of a communicator, never the user's.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "tests/fake_gpu/nccl_collective.h"

namespace bev::fake_gpu {

class NcclGroup {
 public:
  /// A rank comes, on its GPU. Waits for the others. ncclInvalidUsage: another one is on the same GPU; ncclRemoteError:
  /// another one left meanwhile.
  ncclResult_t join(int rank, int size, int device);
  /// The rank's collective of this number, in the order of its calls, at the stream's turn: waits for its earlier ones
  /// and for the other ranks, as a kernel does.
  void meet(int rank, int64_t number, const Collective& what, const Buffers& own);
  /// Waits until the rank has done so many collectives and all ranks are so far. False: it was aborted meanwhile.
  bool finish(int rank, int64_t collectives);
  /// Frees all that waits for this rank's sake: its kernels, its thread. The others notice only while they join.
  void abort(int rank);
  /// Nobody waits any longer: the process ends.
  void end();

 private:
  struct Member {
    int device = 0;
    int64_t done = 0;  // collectives
    bool aborted = false, finished = false;
  };
  struct Meeting {
    Collective what;
    std::vector<Buffers> buffers;  // by rank
    size_t arrived = 0, left = 0;
    bool done = false;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  int size_ = 0;
  bool someone_aborted_ = false, ending_ = false;
  std::map<int, Member> members_;
  std::map<int64_t, Meeting> meetings_;
};

}  // namespace bev::fake_gpu
