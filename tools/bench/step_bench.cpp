#include "tools/bench/step_bench.h"

#include <array>
#include <nlohmann/json.hpp>

#include "runtime/train/training_step.h"
#include "tools/bench/dry_step.h"
#include "tools/common/clock.h"

namespace bev {

namespace {

/// Seconds of every part of every watched step.
struct Parts {
  std::array<std::vector<double>, step_phases> seconds;
  std::vector<double>& of(StepPhase phase) { return seconds[static_cast<size_t>(phase)]; }
};

double total_flop(const WorkTally& work) { return work.matmul_flop + work.convolution_flop; }

StepWork work_of(const BenchCase& bench) {
  const auto device = make_bench_device(bench.device, bench.run);
  device->make_current();
  return dry_step(bench, *device).work;
}

/// Steps one after the other as training runs them, the host ahead as far as it may be; seconds from end to end.
std::vector<double> time_steps(TrainingStep& step, int64_t first, int64_t count, double rate, double* loss) {
  std::vector<double> seconds;
  double last = now_seconds();
  const auto collect = [&] {
    *loss = step.collect().loss;
    const double now = now_seconds();
    seconds.push_back(now - last);
    last = now;
  };
  for (int64_t i = first; i < first + count; ++i) {
    step.enqueue(i, rate);
    if (step.in_flight() > step.ahead()) collect();
  }
  while (step.in_flight() > 0) collect();
  return seconds;
}

}  // namespace

double StepReport::flop() const {
  return total_flop(work.forward) + total_flop(work.backward) + total_flop(work.optimizer);
}

TimedStep time_step(const BenchCase& bench, const StepOptions& options) {
  TimedStep out;
  out.work = work_of(bench);
  with_replica(bench, [&](Replica& replica) {
    const auto batches = make_batches(bench, replica);
    TrainingStep step(replica, *batches, {.micro_batch = bench.batch});
    double loss = 0;
    time_steps(step, 0, options.warmup, bench.run.learning_rate, &loss);
    out.step = spread_of(time_steps(step, options.warmup, options.steps, bench.run.learning_rate, &loss));
  });
  return out;
}

StepReport measure_step(const BenchCase& bench, const StepOptions& options) {
  StepReport out;
  out.work = work_of(bench);
  with_replica(bench, [&](Replica& replica) {
    const auto batches = make_batches(bench, replica);
    TrainingStep step(replica, *batches, {.micro_batch = bench.batch});
    const double rate = bench.run.learning_rate;
    double loss = 0;
    time_steps(step, 0, options.warmup, rate, &loss);
    out.step = spread_of(time_steps(step, options.warmup, options.steps, rate, &loss));
    out.machine = measure_machine(replica.device());  // beside the steps: other work slows both

    Parts parts;
    double begin = 0;
    step.set_watch([&](StepPhase phase) {
      replica.device().synchronize(replica.context().stream);
      const double now = now_seconds();
      parts.of(phase).push_back(now - begin);
      begin = now;
    });
    for (int64_t i = 0; i < options.steps; ++i) {
      begin = now_seconds();
      step.enqueue(options.warmup + options.steps + i, rate);
      loss = step.collect().loss;
    }
    out.waiting = spread_of(parts.of(StepPhase::waiting));
    out.forward = spread_of(parts.of(StepPhase::forward));
    out.backward = spread_of(parts.of(StepPhase::backward));
    out.reduction = spread_of(parts.of(StepPhase::reduction));
    out.optimizer = spread_of(parts.of(StepPhase::optimizer));
    out.loss = loss;
  });
  return out;
}

std::string describe(const StepReport& r, const BenchCase& bench) {
  std::string text = fmt::format("step, batch {} on {}: {}; {:.2f} samples a second\n", bench.batch, bench.device,
                                 milliseconds(r.step), static_cast<double>(bench.batch) / r.step.median);
  const auto line = [&](const char* name, const Spread& seconds, const WorkTally& work) {
    text += fmt::format("  {:<10} {:>9.1f} ms  {:>8.1f} GFLOP  {:>7.2f} GB in kernels  {:>5} launches", name,
                        seconds.median * 1e3, total_flop(work) * 1e-9, work.bytes * 1e-9, work.launches);
    if (total_flop(work) > 0)
      text += fmt::format("  {:.0f} % of matmul",
                          100 * total_flop(work) / seconds.median / r.machine.best().flop_per_second);
    text += '\n';
  };
  line("data wait", r.waiting, {});
  line("forward", r.forward, r.work.forward);
  line("backward", r.backward, r.work.backward);
  line("reduction", r.reduction, {});
  line("optimiser", r.optimizer, r.work.optimizer);
  text += fmt::format("machine: {}\n", describe(r.machine));
  return text + fmt::format("{:.1f} GFLOP a step, {:.1f} GFLOP/s: {:.1f} % of the machine's matmul rate\n",
                            r.flop() * 1e-9, r.flop() / r.step.median * 1e-9, 100 * r.share_of_matmul());
}

nlohmann::json to_json(const StepReport& r, const BenchCase& bench) {
  const auto spread = [](const Spread& s) {
    return nlohmann::json{{"median", s.median}, {"min", s.min},     {"lower_quartile", s.lower_quartile},
                          {"max", s.max},       {"count", s.count}, {"upper_quartile", s.upper_quartile}};
  };
  const auto work = [](const WorkTally& w) {
    return nlohmann::json{{"matmul_flop", w.matmul_flop},
                          {"convolution_flop", w.convolution_flop},
                          {"kernel_bytes", w.bytes},
                          {"launches", w.launches}};
  };
  nlohmann::json products = nlohmann::json::array();
  for (const auto& product : r.machine.products) {
    products.push_back({{"shape", product.shape}, {"flop_per_second", product.flop_per_second}});
  }
  return {
      {"device", bench.device},
      {"batch", bench.batch},
      {"plain", bench.run.policy.plain},
      {"seconds", spread(r.step)},
      {"median", r.step.median},
      {"parts",
       {{"waiting", spread(r.waiting)},
        {"forward", spread(r.forward)},
        {"backward", spread(r.backward)},
        {"reduction", spread(r.reduction)},
        {"optimizer", spread(r.optimizer)}}},
      {"work",
       {{"forward", work(r.work.forward)}, {"backward", work(r.work.backward)}, {"optimizer", work(r.work.optimizer)}}},
      {"machine", {{"products", products}, {"copy_bytes_per_second", r.machine.bytes_per_second}}},
      {"share_of_matmul", r.share_of_matmul()},
      {"loss", r.loss}};
}

}  // namespace bev
