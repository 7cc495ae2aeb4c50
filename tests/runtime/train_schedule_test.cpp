// The learning rate at the steps where something happens.
#include "runtime/train/schedule.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace bev;

TEST_CASE("warm-up rises in equal parts, the cosine ends at its floor") {
  const Schedule schedule{
      .kind = ScheduleKind::cosine, .peak = 1e-3, .last = 1e-5, .warmup_steps = 10, .total_steps = 111};
  CHECK(schedule.at(0) == doctest::Approx(1e-4));
  CHECK(schedule.at(4) == doctest::Approx(5e-4));
  CHECK(schedule.at(9) == doctest::Approx(1e-3));
  CHECK(schedule.at(10) == doctest::Approx(1e-3));
  CHECK(schedule.at(60) == doctest::Approx((1e-3 + 1e-5) / 2));
  CHECK(schedule.at(35) == doctest::Approx(1e-5 + (1e-3 - 1e-5) * (1 + std::sqrt(0.5)) / 2));
  CHECK(schedule.at(110) == doctest::Approx(1e-5));
  CHECK(schedule.at(5000) == doctest::Approx(1e-5));
}

TEST_CASE("linear and constant schedules, and trainings shorter than their warm-up") {
  Schedule schedule{.kind = ScheduleKind::linear, .peak = 1, .last = 0, .warmup_steps = 0, .total_steps = 11};
  CHECK(schedule.at(0) == 1);
  CHECK(schedule.at(3) == doctest::Approx(0.7));
  CHECK(schedule.at(10) == 0);
  schedule.kind = ScheduleKind::constant;
  CHECK(schedule.at(10) == 1);
  schedule.warmup_steps = 20;
  CHECK(schedule.at(10) == doctest::Approx(11.0 / 20));
  schedule.kind = ScheduleKind::cosine;
  schedule.warmup_steps = 0;
  schedule.total_steps = 1;
  CHECK(schedule.at(0) == 1);
}

TEST_CASE("scaling the rate with the number of replicas says what it gives") {
  CHECK(rate_factor(RateScaling::none, 8) == 1);
  CHECK(rate_factor(RateScaling::sqrt, 4) == 2);
  CHECK(rate_factor(RateScaling::linear, 8) == 8);
  CHECK(describe_rate(RateScaling::linear, 8, 5e-5) == "learning rate 5e-05 x 8 (linear in 8 replica(s)) = 0.0004");
  CHECK(describe_rate(RateScaling::none, 2, 5e-5) == "learning rate 5e-05, not scaled with the 2 replica(s)");
}
