// The promise of the whole trainer, kept by the policy itself: N replicas on N shares compute what one replica computes
// on the union, with dropout, accumulated gradients, batch norm over all replicas and a sharded optimiser, to the
// rounding of sums; and every run repeats to the last bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "tests/support/policy_run.h"
#include "tests/support/sanitizers.h"

namespace bev::test {

namespace {

constexpr bool sanitized = thread_sanitizer || address_sanitizer;
constexpr int64_t steps = sanitized ? 2 : 10;
const std::vector<int> numbers_of_replicas = sanitized ? std::vector{1, 3, 8} : std::vector{1, 2, 3, 4, 8};

/// Sums over samples are taken in another order on another number of replicas. The longest are those of the first
/// convolution, n = 24 samples of 16 x 32 pixels. Rounding errors of float sums of n terms stay below sqrt(n) u, but
/// with a probability that does not matter (Higham and Mary 2019, theorem 3.1), u = 2^-24.
const double float_sums = std::sqrt(24.0 * 16 * 32) * 0x1p-24;
/// In double what is asked is 1e-12.
constexpr double double_sums = 1e-12;

/// Gradients are clipped to `max_norm`. Adam divides an element's gradient by its own size, which makes a whole step
/// of the rounding error of a gradient that is zero otherwise; an epsilon above such errors keeps float weights
/// comparable. An element then moves by at most learning_rate / epsilon times its gradient's error more or less.
constexpr double max_norm = 0.5, float_epsilon = 1e-3, learning_rate = 1e-3;
const double float_weights = static_cast<double>(steps) * learning_rate * max_norm * float_sums / float_epsilon;

PolicyRun run_of(BevMode mode, DType dtype, int64_t accumulation) {
  PolicyRun run{.policy = tiny_policy(mode), .dtype = dtype, .accumulation = accumulation};
  run.steps = steps;
  run.learning_rate = learning_rate;
  run.optimizer.max_gradient_norm = max_norm;
  if (dtype == DType::f32) run.optimizer.epsilon = float_epsilon;
  return run;
}

double largest_absolute(const std::vector<NamedNumbers>& ours, const std::vector<NamedNumbers>& theirs) {
  REQUIRE(ours.size() == theirs.size());
  double largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    REQUIRE(ours[i].numbers.size() == theirs[i].numbers.size());
    for (size_t j = 0; j < ours[i].numbers.size(); ++j) {
      const double difference = std::abs(ours[i].numbers[j] - theirs[i].numbers[j]);
      if (!(difference <= largest)) largest = difference;
    }
  }
  return largest;
}

/// Differences are relative to the largest element of the tensor, or to 1e-3 of the largest of all where the tensor's
/// are smaller than that: those that exact arithmetic has at zero are rounding errors of larger numbers.
void check_same(const PolicyOutcome& many, const PolicyOutcome& one, DType dtype) {
  const double limit = dtype == DType::f64 ? double_sums : float_sums;
  const auto check = [&](const char* what, const auto& ours, const auto& theirs) {
    if (theirs.empty()) return;
    const GradientResult worst = largest_difference(ours, theirs);
    INFO(what << ": " << worst.worst_place);
    CHECK(worst.worst_error < limit);
  };
  check("steps", many.steps, one.steps);
  check("gradients", many.gradients, one.gradients);
  check("statistics", many.statistics, one.statistics);
  if (dtype == DType::f64) {
    check("weights", many.weights, one.weights);
    check("averages", many.averages, one.averages);
  } else {
    CHECK(largest_absolute(many.weights, one.weights) < float_weights);
    CHECK(largest_absolute(many.averages, one.averages) < float_weights);
  }
}

/// One replica, computed once for each accumulation and global batch. That its numbers mean something is checked here:
/// they are finite, and gradients are clipped. Without batch norm it does not matter either in how many micro-batches
/// they are computed.
class Reference {
 public:
  const PolicyOutcome& operator()(const PolicyRun& run) {
    const std::pair key{run.accumulation, run.global_batch};
    if (const auto found = known_.find(key); found != known_.end()) return found->second;
    const PolicyOutcome& one = known_[key] = run_policy(run);
    CHECK(std::isfinite(one.steps[0].numbers.back()));
    CHECK(*std::max_element(one.steps[1].numbers.begin(), one.steps[1].numbers.end()) > max_norm);
    const auto whole = known_.find({1, run.global_batch});
    if (run.policy.mode == BevMode::tokens && whole != known_.end()) check_same(one, whole->second, run.dtype);
    return one;
  }

 private:
  std::map<std::pair<int64_t, int64_t>, PolicyOutcome> known_;
};

/// What is computed with each number of replicas.
struct Row {
  int64_t accumulation = 1;
  bool sharded = false;
  bool repeated = false;  // twice, and equal to the last bit
};

constexpr Row rows[] = {{1, false, false}, {1, true, true}, {3, false, true}, {3, true, false}};

void check_replicas(BevMode mode, DType dtype) {
  Reference reference;
  for (const Row& row : rows) {
    for (const int replicas : numbers_of_replicas) {
      CAPTURE(row.accumulation);
      CAPTURE(row.sharded);
      CAPTURE(replicas);
      PolicyRun run = run_of(mode, dtype, row.accumulation);
      if (run.global_batch % (replicas * row.accumulation) != 0) run.global_batch = 36;
      const PolicyOutcome& one = reference(run);
      run.replicas = replicas;
      run.sharded = row.sharded;
      const PolicyOutcome many = run_policy(run);
      check_same(many, one, dtype);
      if (row.repeated) CHECK(run_policy(run) == many);
    }
  }
}

}  // namespace

// The thread sanitizer sees the same threads in float32.
TEST_CASE("replicas compute what one computes: tokens, float64" * doctest::skip(thread_sanitizer)) {
  check_replicas(BevMode::tokens, DType::f64);
}
TEST_CASE("replicas compute what one computes: tokens, float32") { check_replicas(BevMode::tokens, DType::f32); }
TEST_CASE("replicas compute what one computes: rasters, float64" * doctest::skip(thread_sanitizer)) {
  check_replicas(BevMode::raster, DType::f64);
}
TEST_CASE("replicas compute what one computes: rasters, float32") { check_replicas(BevMode::raster, DType::f32); }

TEST_CASE("replicas compute what one computes: batch norm with one value a channel on each") {
  PolicyRun run = run_of(BevMode::raster, DType::f64, 1);
  run.policy.bev_input_size = {32, 32};  // 1 x 1 where the backbone ends
  run.global_batch = 8;
  run.steps = 2;
  const PolicyOutcome one = run_policy(run);
  run.replicas = 8;
  check_same(run_policy(run), one, run.dtype);
}

TEST_CASE("replicas whose batch norm looks at their own images alone compute something else") {
  PolicyRun run = run_of(BevMode::raster, DType::f64, 1);
  run.policy.sync_batch_norm = false;
  run.steps = 2;
  const PolicyOutcome one = run_policy(run);
  run.replicas = 2;
  CHECK(largest_difference(run_policy(run).gradients, one.gradients).worst_error > 1e-3);
}

}  // namespace bev::test
