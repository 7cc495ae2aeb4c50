#include "tools/bench/dry_step.h"

namespace bev {

DryStep dry_step(const BenchCase& bench, Device& device) {
  ParameterStore store;
  const auto task = make_policy_task(store, bench.run, device);
  const auto alone = make_thread_communicators(1);
  MemoryPlanner planner(*task, store, device, bench.fields(), DType::f32, bench.run.optimizer, {}, *alone[0]);
  DryStep out;
  out.plan = planner.plan(bench.batch);
  const MemoryPlan& plan = out.plan;

  out.work.forward = plan.forward;
  out.work.backward = plan.backward;
  out.work.optimizer = plan.optimizer;
  for (size_t i = 0; i < plan.order.size(); ++i) {
    out.work.gradients.push_back(
        {plan.order[i]->name, static_cast<double>(plan.order[i]->size()) * 4, plan.gradient_work[i]});
  }
  MemoryParts& m = out.memory;
  const size_t span = store.trained_values().bytes();
  m.weights = span;
  m.gradients = span;
  m.moments = 2 * span;
  m.averages = span;
  m.other_kept = plan.kept - 5 * span;
  m.activations = plan.activations;
  m.transient = plan.peak - plan.kept - plan.activations;
  m.extent = plan.extent;
  return out;
}

int64_t largest_batch(const BenchCase& bench, Device& device, size_t limit) {
  ParameterStore store;
  const auto task = make_policy_task(store, bench.run, device);
  const auto alone = make_thread_communicators(1);
  MemoryPlanner planner(*task, store, device, bench.fields(), DType::f32, bench.run.optimizer, {}, *alone[0]);
  const auto fits = [&](int64_t batch) { return planner.plan(batch).extent <= limit; };
  if (!fits(1)) return 0;
  int64_t good = 1, bad = 2;
  while (fits(bad)) good = bad, bad *= 2;
  while (bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return good;
}

}  // namespace bev
