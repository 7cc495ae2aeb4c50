#include "runtime/train/validation.h"

#include <utility>

#include "runtime/distributed/shared.h"
#include "runtime/error.h"

namespace bev {

namespace {

/// The state of a replica in which a task validates, for as long as this lives.
class Validating {
 public:
  explicit Validating(Replica& replica) : replica_(replica) {
    replica.context().training = false;
    replica.context().tape.set_recording(false);
    replica.optimizer().use_average(true);
  }
  /// Where an exception is on its way: what else fails then, such as a GPU that has failed already, is not heard.
  ~Validating() {
    try {
      end();
    } catch (const Error&) {
    }
  }
  Validating(const Validating&) = delete;
  Validating& operator=(const Validating&) = delete;

  /// Back to training. Throws what the device reports.
  void end() {
    if (std::exchange(ended_, true)) return;
    replica_.context().tape.set_recording(true);
    replica_.context().training = true;
    replica_.optimizer().use_average(false);
  }

 private:
  Replica& replica_;
  bool ended_ = false;
};

}  // namespace

MetricSums validate(Replica& replica, ValidationSource& source) {
  MetricSums sums;
  Validating validating(replica);
  source.restart();
  for (;;) {
    replica.inputs().before_next();
    const Batch* const host = source.next();
    if (!host) break;
    const Batch& batch = replica.inputs().stage(*host);
    replica.context().restart_random_places();
    replica.task().validate(replica.context(), batch, sums);
    replica.inputs().release();
  }
  validating.end();
  sum_over_replicas(replica.host(), sums);
  return sums;
}

}  // namespace bev
