#include "data/sampler.h"

#include <algorithm>
#include <bit>

#include "kernels/philox.h"
#include "runtime/error.h"

namespace bev {

namespace {

constexpr uint32_t random_place = 0x5A3B1E00;  // keeps these numbers apart from those that the model draws
constexpr int fewest_half_bits =
    4;                     // a network over fewer than 8 bits prefers some orders of few samples (seen in tests)
constexpr int rounds = 8;  // four suffice for large sets (Luby and Rackoff); small ones need more to mix

}  // namespace

Permutation::Permutation(int64_t n, uint64_t seed, int64_t epoch)
    : n_(static_cast<uint64_t>(n)),
      seed_(seed),
      epoch_(static_cast<uint32_t>(epoch)),
      half_bits_(std::max((static_cast<int>(std::bit_width(n_ - 1)) + 1) / 2, fewest_half_bits)) {}

uint64_t Permutation::once(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_, right = value & mask;
  for (uint32_t round = 0; round < rounds; ++round) {
    const Random4 random = philox4x32(seed_, static_cast<uint32_t>(right), round, random_place, epoch_);
    const uint64_t next = left ^ (random.word[0] & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

int64_t Permutation::operator()(int64_t place) const {
  // The network permutes fewer than 4 n values, or 256. Following its cycle from a place below n leads below n again,
  // and to a different place from every start.
  uint64_t value = static_cast<uint64_t>(place);
  do value = once(value);
  while (value >= n_);
  return static_cast<int64_t>(value);
}

Sampler::Sampler(int64_t samples, int64_t global_batch, const SamplerOptions& options)
    : taking_part_(0), global_batch_(global_batch), options_(options) {
  if (options.interval < 1) {
    fail(ErrorKind::usage, "training.sample_interval is {}: expected 1 or more", options.interval);
  }
  if (global_batch < 1) fail(ErrorKind::usage, "a global batch of {} samples: expected 1 or more", global_batch);
  taking_part_ = (samples + options.interval - 1) / options.interval;
  if (taking_part_ < global_batch) {
    fail(ErrorKind::usage,
         "the data set has {} samples, of which {} take part (training.sample_interval {}), but a global batch needs "
         "{}: "
         "reduce the batch size, the accumulation or the number of replicas",
         samples, taking_part_, options.interval, global_batch);
  }
}

int64_t Sampler::sample(int64_t step, int64_t place) const {
  const int64_t in_epoch = step % steps_an_epoch() * global_batch_ + place;
  const int64_t index =
      options_.shuffle ? Permutation(taking_part_, options_.seed, step / steps_an_epoch())(in_epoch) : in_epoch;
  return index * options_.interval;
}

}  // namespace bev
