#include "tools/common/fit.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/policy_task.h"
#include "runtime/distributed/communicator.h"
#include "tools/common/batch_fields.h"

namespace bev {

namespace {

constexpr int64_t batch_at_most = int64_t{1} << 16;

double gibibytes(size_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

/// The largest batch that can be planned within `limit`.
int64_t largest_batch(MemoryPlanner& planner, size_t limit) {
  const auto fits = [&](int64_t batch) { return planner.leanest(batch, limit).extent <= limit; };
  if (!fits(1)) return 0;
  int64_t good = 1;
  while (good < batch_at_most && fits(2 * good)) good *= 2;
  for (int64_t step = good / 2; step > 0; step /= 2) {
    if (fits(good + step)) good += step;
  }
  return good;
}

}  // namespace

double estimated_seconds(const WorkTally& work, const DeviceRates& rates) {
  return work.matmul_flop / rates.matmul_flop + work.convolution_flop / rates.convolution_flop +
         work.bytes / rates.copy_bytes + static_cast<double>(work.launches) * rates.launch_s;
}

Fit fit_to_device(const RunConfig& run, Device& device, size_t free, const DeviceRates* rates) {
  PolicyConfig policy = run.policy;
  if (policy.normalize_state) {  // the data set's statistics: their values cost nothing
    policy.state_mean.assign(static_cast<size_t>(policy.state_dim), 0);
    policy.state_deviation.assign(static_cast<size_t>(policy.state_dim), 1);
  }
  ParameterStore store;
  PolicyTask task(store, policy, device, run.augmentation,
                  {.sampler = run.sampler, .inference_steps = run.inference_steps});
  const std::vector<FieldSpec> fields = fields_of(policy, DType::f32);
  const auto alone = make_thread_communicators(1);
  MemoryPlanner planner(task, store, device, fields, DType::f32, run.optimizer, {}, *alone.front());
  Fit out;
  out.device = device.text();
  out.batch = micro_batch(run, 1);
  out.free = free;
  const MemoryPlan plan = planner.leanest(out.batch, free);
  out.needed = plan.extent;
  out.fits = plan.extent <= free;
  out.work = plan.work;
  out.largest = largest_batch(planner, free);
  if (rates) out.step_s = estimated_seconds(plan.work, *rates);
  return out;
}

std::string describe(const Fit& fit) {
  std::string out = fmt::format("{}: a batch of {} needs {:.2f} GiB of {:.2f} GiB that a run may take: {}", fit.device, fit.batch,
                                gibibytes(fit.needed), gibibytes(fit.free), fit.fits ? "it fits" : "it does not fit");
  out += fit.largest > 0 ? fmt::format(", the largest that does is {}\n", fit.largest)
                         : std::string(", and not even one sample does\n");
  out += fmt::format(
      "{}: a step of {} samples is {:.2f} TFLOP of products and {:.2f} of convolutions, {:.2f} GB of "
      "other kernels' memory and {} launches",
      fit.device, fit.batch, fit.work.matmul_flop * 1e-12, fit.work.convolution_flop * 1e-12, fit.work.bytes * 1e-9,
      fit.work.launches);
  if (fit.step_s > 0) {
    out += fmt::format("; at the measured rates {:.1f} ms, {:.1f} samples a second", fit.step_s * 1e3,
                       static_cast<double>(fit.batch) / fit.step_s);
  }
  return out + "\n";
}

nlohmann::json to_json(const Fit& fit) {
  return {{"device", fit.device},
          {"batch", fit.batch},
          {"memory_needed", fit.needed},
          {"memory_free", fit.free},
          {"fits", fit.fits},
          {"largest_batch", fit.largest},
          {"matmul_flop", fit.work.matmul_flop},
          {"convolution_flop", fit.work.convolution_flop},
          {"other_bytes", fit.work.bytes},
          {"launches", fit.work.launches},
          {"estimated_step_s", fit.step_s > 0 ? nlohmann::json(fit.step_s) : nlohmann::json(nullptr)}};
}

}  // namespace bev
