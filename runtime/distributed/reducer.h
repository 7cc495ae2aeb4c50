// Sums gradients over replicas while backward still runs. The gradients of a ParameterStore lie in one span, in the
// order in which backward finishes them; the span is cut into buckets, and a bucket's sum is enqueued as soon as the
// tape says that the last of its gradients is complete. Buckets go in one order on every replica, whatever the order in
// which they become ready. Gradients are sums: scale the loss by 1 / (replicas * micro-batches).
//
// Sharded, a bucket is summed to where it is needed: a replica owns an equal part of every bucket, its optimiser moves
// those weights alone, and gather() then tells everybody. What a bucket has more than equal parts of whole alignment
// granules (less than one granule a replica) is summed for all and moved by all.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "runtime/distributed/communicator.h"
#include "runtime/parameter.h"
#include "runtime/tape.h"

namespace bev {

struct ReducerConfig {
  size_t bucket_bytes = size_t{25} << 20;  // a bucket is closed once it holds as much
  bool sharded = false;
};

/// Elements of the store's flat spans.
struct FlatSpan {
  int64_t first = 0, count = 0;
  bool operator==(const FlatSpan&) const = default;
};

/// Elements that are summed together, and whose the sums are.
struct SummedPart {
  static constexpr int everybody = -1;
  int64_t bucket = 0;
  FlatSpan span;
  int owner = everybody;  // a rank
};

/// Is shown gradients before and after they are summed (reduction_check.h). What it puts on the stream of backward
/// comes before the sums of that bucket begin, and after all of them are done.
class ReductionWitness {
 public:
  virtual ~ReductionWitness() = default;
  /// This bucket holds what this replica adds to the sum.
  virtual void before(int64_t bucket) = 0;
  /// owned() holds sums.
  virtual void after() = 0;
};

/// How communication went in one step, in seconds on one clock.
struct ReductionReport {
  std::vector<CollectiveTrace> collectives;
  double total_s() const;   // that they took
  double hidden_s() const;  // of it, while compute had not come to where it needs them
  /// "31.0 of 34.0 ms of communication (91 %) behind compute, 7 collectives"
  std::string text() const;
};

class GradientReducer {
 public:
  /// For an allocated store. All must outlive the reducer, and it must go before their memory does.
  GradientReducer(ParameterStore& store, Communicator& communicator, const ReducerConfig& config);
  /// Ends the group if a step's reduction is under way: the others would wait for this replica.
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Takes the tape's gradient-ready hook; `compute` is the stream that backward works on.
  void attach(Tape& tape, const Stream& compute);
  /// The backward pass that comes is the step's last: its gradients are complete and get reduced. Without it nothing
  /// is.
  void begin();
  /// After that backward pass: work put on `compute` from here on sees the sums. Throws Error naming a parameter whose
  /// gradient was not completed.
  void finish();
  /// Forgets what begin() began, of which nothing has been done (what was being recorded failed).
  void forget() { reducing_ = false; }

  /// What this replica's optimiser moves: everything in one span, or sharded its part of each bucket.
  const std::vector<FlatSpan>& owned() const { return owned_; }
  /// Of owned(), what enters sums over replicas (the gradient's norm) from here, so that each element does once.
  const std::vector<FlatSpan>& counted() const { return counted_; }
  bool sharded() const { return config_.sharded; }
  /// All elements of all buckets, in their order.
  std::vector<SummedPart> parts() const;
  /// Null: nobody. It outlives its last step.
  void set_witness(ReductionWitness* witness) { witness_ = witness; }
  bool witnessed() const { return witness_ != nullptr; }
  /// Sharded: everybody receives the parts of `span` (laid out as trained_values()) that others own.
  void gather(const Tensor& span);

  int64_t buckets() const { return static_cast<int64_t>(buckets_.size()); }
  /// "bucket 3"
  const std::string& name(int64_t bucket) const { return buckets_[static_cast<size_t>(bucket)].name; }
  void set_tracing(bool on) { communicator_.set_tracing(on); }
  /// Of the steps since it was last taken, those that are done.
  ReductionReport take_report();

 private:
  struct Bucket {
    std::string name;
    int64_t first = 0, count = 0;  // elements of the gradients' span
    int64_t shard = 0;             // of them, a replica's part, if sharded
    int64_t parameters = 0, unready = 0;
  };

  void cut(ParameterStore& store);
  void ready(const Parameter& parameter);
  void reduce(size_t number);
  std::byte* at(const Tensor& span, int64_t element) const;

  ParameterStore& store_;
  Communicator& communicator_;
  const ReducerConfig config_;
  Stream compute_;
  std::vector<Bucket> buckets_;
  std::unordered_map<const Parameter*, size_t> bucket_of_;
  std::unordered_set<const Parameter*> ready_;
  std::vector<FlatSpan> owned_, counted_;
  size_t next_ = 0;  // bucket to reduce
  bool reducing_ = false;
  ReductionWitness* witness_ = nullptr;
};

}  // namespace bev
