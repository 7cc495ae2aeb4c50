#include "runtime/train/validation.h"

#include "runtime/distributed/shared.h"

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
  ~Validating() {
    replica_.optimizer().use_average(false);
    replica_.context().tape.set_recording(true);
    replica_.context().training = true;
  }
  Validating(const Validating&) = delete;
  Validating& operator=(const Validating&) = delete;

 private:
  Replica& replica_;
};

}  // namespace

MetricSums validate(Replica& replica, ValidationSource& source) {
  MetricSums sums;
  {
    const Validating validating(replica);
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
  }
  sum_over_replicas(replica.host(), sums);
  return sums;
}

}  // namespace bev
