// Which samples a training step sees: a function of (seed, step) alone. No replica, thread or earlier step has a say in
// it, so resuming is knowing the step's number.
#pragma once

#include <cstdint>

namespace bev {

/// A permutation of 0 .. n-1, one for each (seed, epoch), computed at any place without computing the rest: a Feistel
/// network (Luby and Rackoff 1988) over the next even number of bits whose round function is Philox, walked until the
/// result is below n (Black and Rogaway 2002). Against sorting random keys: no memory and no time at the start of an
/// epoch or of a resumed run, whatever the size of the set, at about a microsecond a sample.
class Permutation {
 public:
  /// n from 1 to 2^62.
  Permutation(int64_t n, uint64_t seed, int64_t epoch);
  int64_t operator()(int64_t place) const;

 private:
  uint64_t once(uint64_t value) const;

  uint64_t n_, seed_;
  uint32_t epoch_;
  int half_bits_;
};

struct SamplerOptions {
  uint64_t seed = 0;
  bool shuffle = true;   // false: in the order of the data set, every epoch the same
  int64_t interval = 1;  // only samples 0, interval, 2 interval, ... take part
};

/// Deals a data set to global batches. Every sample that takes part is seen at most once an epoch; those that are left
/// when no whole global batch remains are dropped from the epoch (other ones in the next, where samples are shuffled).
class Sampler {
 public:
  /// Throws Error(ErrorKind::usage) if fewer samples take part than a global batch holds.
  Sampler(int64_t samples, int64_t global_batch, const SamplerOptions& options);

  int64_t global_batch() const { return global_batch_; }
  /// How many samples take part.
  int64_t taking_part() const { return taking_part_; }
  int64_t steps_an_epoch() const { return taking_part_ / global_batch_; }
  /// The sample at a place (0 .. global_batch - 1) of the global batch of a step, counted from 0 over all epochs.
  int64_t sample(int64_t step, int64_t place) const;

 private:
  int64_t taking_part_, global_batch_;
  SamplerOptions options_;
};

}  // namespace bev
