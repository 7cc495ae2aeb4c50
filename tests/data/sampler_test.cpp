// The order of samples: a permutation for every size, evenly drawn, and the same whatever asks for it.
#include "data/sampler.h"

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "tests/support/temporary_folder.h"

using namespace bev;
using namespace bev::test;

namespace {

/// Chi-square of counts that should be equal, and a bound that a fair draw exceeds less than once in 10^6 (Wilson and
/// Hilferty 1931).
void check_even(const std::vector<double>& counts) {
  double total = 0;
  for (const double count : counts) total += count;
  const double expected = total / static_cast<double>(counts.size());
  double chi_square = 0;
  for (const double count : counts) chi_square += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size() - 1), v = 2 / (9 * freedom);
  CHECK(chi_square < freedom * std::pow(1 - v + 4.75 * std::sqrt(v), 3));
}

}  // namespace

TEST_CASE("permutation: of every size up to 300, and of larger ones") {
  std::vector<int64_t> sizes;
  for (int64_t n = 1; n <= 300; ++n) sizes.push_back(n);
  sizes.insert(sizes.end(), {1023, 1024, 1025, 65537});
  for (const int64_t n : sizes) {
    const Permutation permutation(n, 5, 3);
    std::vector<bool> seen(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      const int64_t value = permutation(i);
      REQUIRE(value >= 0);
      REQUIRE(value < n);
      REQUIRE_FALSE(seen[static_cast<size_t>(value)]);
      seen[static_cast<size_t>(value)] = true;
    }
  }
}

TEST_CASE("permutation: another seed or epoch gives another order") {
  const Permutation a(1000, 1, 0), b(1000, 2, 0), c(1000, 1, 1), again(1000, 1, 0);
  int same_seed = 0, same_epoch = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    CHECK(a(i) == again(i));
    same_seed += a(i) == b(i);
    same_epoch += a(i) == c(i);
  }
  CHECK(same_seed < 10);  // one is expected by chance
  CHECK(same_epoch < 10);
}

TEST_CASE("permutation: all orders of few, and all places of more, come equally often") {
  for (const int64_t n : {2, 3, 4, 5}) {
    std::map<std::vector<int64_t>, double> counts;
    for (int64_t epoch = 0; epoch < (n < 5 ? 3000 : 24'000); ++epoch) {
      const Permutation permutation(n, 11, epoch);
      std::vector<int64_t> order;
      for (int64_t i = 0; i < n; ++i) order.push_back(permutation(i));
      ++counts[order];
    }
    std::vector<double> list;
    for (const auto& [order, count] : counts) list.push_back(count);
    size_t factorial = 1;
    for (size_t i = 2; i <= static_cast<size_t>(n); ++i) factorial *= i;
    CHECK(list.size() == factorial);
    check_even(list);
  }
  for (const int64_t n : {7, 40}) {
    std::vector<double> first(static_cast<size_t>(n)), distance(static_cast<size_t>(n - 1));
    for (int64_t epoch = 0; epoch < 20'000; ++epoch) {
      const Permutation permutation(n, 4, epoch);
      ++first[static_cast<size_t>(permutation(n - 1))];
      ++distance[static_cast<size_t>((permutation(3) - permutation(2) + n) % n - 1)];  // neighbours go apart
    }
    check_even(first);
    check_even(distance);
  }
}

TEST_CASE("sampler: every sample at most once an epoch, the rest of an epoch dropped") {
  const Sampler sampler(103, 10, {.seed = 9});
  CHECK(sampler.steps_an_epoch() == 10);
  std::set<int64_t> dropped[2];
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    std::set<int64_t> seen;
    for (int64_t step = 0; step < 10; ++step) {
      for (int64_t place = 0; place < 10; ++place) {
        const int64_t sample = sampler.sample(epoch * 10 + step, place);
        CHECK(sample >= 0);
        CHECK(sample < 103);
        CHECK(seen.insert(sample).second);
      }
    }
    for (int64_t sample = 0; sample < 103; ++sample) {
      if (!seen.contains(sample)) dropped[epoch].insert(sample);
    }
    CHECK(dropped[epoch].size() == 3);
  }
  CHECK(dropped[0] != dropped[1]);
}

TEST_CASE("sampler: every n-th sample, in order if not shuffled") {
  const Sampler ordered(23, 4, {.shuffle = false, .interval = 3});
  CHECK(ordered.taking_part() == 8);
  CHECK(ordered.steps_an_epoch() == 2);
  for (int64_t step = 0; step < 6; ++step) {
    for (int64_t place = 0; place < 4; ++place) CHECK(ordered.sample(step, place) == (step % 2 * 4 + place) * 3);
  }
  const Sampler shuffled(23, 8, {.seed = 1, .interval = 3});
  std::set<int64_t> seen;
  for (int64_t place = 0; place < 8; ++place) seen.insert(shuffled.sample(0, place));
  CHECK(seen == std::set<int64_t>{0, 3, 6, 9, 12, 15, 18, 21});
}

TEST_CASE("sampler: too few samples is an error that says what helps") {
  const std::string message = error_of(ErrorKind::usage, [] { Sampler(20, 11, {.interval = 2}); });
  CHECK(contains(message, "20 samples, of which 10 take part"));
  CHECK(contains(message, "reduce the batch size"));
  CHECK(contains(error_of(ErrorKind::usage, [] { Sampler(20, 4, {.interval = 0}); }), "sample_interval"));
}
