// Whether gradients were summed right. Replicas that agree need not be right: where each moves its own share of the
// weights and tells the others, a share that was never summed moves by one replica's gradient alone, and all hold the
// same wrong weights; and a part that is missing from a sum is missing for all. So a weighted sum of every stretch of
// gradients (kernels/weighted_sums.h) is taken before the reduction by every replica, and after it by whoever owns the
// stretch: the latter must be the total of the former.
//
// How far rounding may take them apart is bounded, not guessed: a sum of N numbers in any order is off by less than
// N - 1 roundings of their total magnitude (Higham 2002, equation 4.4), and magnitudes are summed too. What is beyond
// that is an error, always; an error beyond it is seen. The first step is checked, and others as the trainer says: it
// costs two readings of the gradients and no communication within the step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/weighted_sums.h"
#include "runtime/context.h"
#include "runtime/device.h"
#include "runtime/distributed/reducer.h"

namespace bev {

class ReductionCheck final : public ReductionWitness {
 public:
  /// Of an allocated store's gradients. `context`, whose arena holds the sums, and `device` are this replica's; `host`
  /// is its communicator over host memory, which the reducer does not use. All outlive the check.
  ReductionCheck(const ParameterStore& store, const GradientReducer& reducer, Context& context, Device& device,
                 Communicator& host);

  void before(int64_t bucket) override;
  void after() override;

  /// Compares the sums of the last step that this witnessed. Collective; waits for the device. Throws
  /// Error(ErrorKind::disagreement) on every replica naming the first tensor whose gradient is not the sum, its bucket
  /// and the replicas that hold it; `when` says at what point of the run: "in the first step". Gradients that are not
  /// finite are not judged: their step changes nothing.
  void check(const std::string& when);

 private:
  enum Verdict : uint8_t { right, unsummed, wrong };  // of several, the last
  struct Place {
    size_t parameter;  // of ParameterStore::trained()
    int64_t bucket;
    int owner;
  };
  /// The span's elements [begin, end) that belong to a part and a parameter, in chunks.
  void append(const Place& place, int64_t begin, int64_t end);
  void launch(const Tensor& chunks, const Tensor& sums, int64_t first, int64_t count);
  /// By replica, and then by tensor; all get all.
  std::vector<uint8_t> verdicts();
  /// Of this replica's sum of a chunk, from the sums of all replicas' parts, [replicas, chunks, 2].
  Verdict judge(const double* all, int64_t chunk, const double* held) const;

  const ParameterStore& store_;
  const GradientReducer& reducer_;
  Context& context_;
  Device& device_;
  Communicator& host_;
  std::vector<SpanChunk> chunks_;  // of all gradients, by bucket
  std::vector<Place> places_;      // of each
  std::vector<int64_t> owned_;     // numbers of those that this replica has the sums of
  std::vector<int64_t> first_of_bucket_;
  Tensor chunks_on_device_, owned_on_device_;  // SpanChunk[] as bytes
  Tensor parts_, sums_;                        // [chunks, 2] before, [owned, 2] after; WeightedSums
};

}  // namespace bev
