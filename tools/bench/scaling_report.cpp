#include "tools/bench/scaling_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace bev {

ScalingReport report_scaling(const MachineModel& machine, const StepWork& work, int64_t batch, double bucket_bytes,
                             int gpus) {
  ScalingReport out{.batch = batch, .bucket_bytes = bucket_bytes, .machine = machine};
  for (const GradientEvent& gradient : work.gradients) out.gradient_bytes += gradient.bytes;
  for (int n = 1; n < gpus; n *= 2) out.results.push_back(predict_scaling(machine, work, bucket_bytes, n));
  out.results.push_back(predict_scaling(machine, work, bucket_bytes, gpus));

  const std::pair<const char*, double MachineModel::*> assumptions[] = {
      {"rate of products", &MachineModel::flop_per_second},
      {"rate of memory", &MachineModel::bytes_per_second},
      {"time of a launch", &MachineModel::launch_s},
      {"link", &MachineModel::link_bytes_per_second},
      {"latency of a reduction", &MachineModel::collective_s}};
  const auto with = [&](double MachineModel::*assumption, double factor) {
    MachineModel changed = machine;
    changed.*assumption *= factor;
    return predict_scaling(changed, work, bucket_bytes, gpus).speedup;
  };
  for (const auto& [what, assumption] : assumptions) {
    out.sensitivities.push_back({what, with(assumption, 0.5), with(assumption, 2)});
  }
  out.sensitivities.push_back({"size of buckets", predict_scaling(machine, work, bucket_bytes / 2, gpus).speedup,
                               predict_scaling(machine, work, bucket_bytes * 2, gpus).speedup});
  const double base = out.results.back().speedup;
  const auto matters = [&](const ScalingReport::Sensitivity& s) {
    return std::max(std::abs(s.halved - base), std::abs(s.doubled - base));
  };
  std::stable_sort(out.sensitivities.begin(), out.sensitivities.end(),
                   [&](const auto& a, const auto& b) { return matters(a) > matters(b); });
  return out;
}

std::string describe(const ScalingReport& r) {
  const MachineModel& m = r.machine;
  std::string text = fmt::format(
      "scaling on paper, {} samples a GPU, {:.1f} MB of gradients in buckets of {:.1f} MB\n"
      "assumed of a GPU: {:.2f} TFLOP/s in products, {:.0f} GB/s in kernels, {:.1f} us a launch; {}\n"
      "assumed of the link: {:.1f} GB/s in a ring of all, {:.0f} us a reduction before bytes flow\n"
      "assumed beside: all GPUs alike and in step, batches always ready, the backward pass not slowed by reductions\n",
      r.batch, r.gradient_bytes * 1e-6, r.bucket_bytes * 1e-6, m.flop_per_second * 1e-12, m.bytes_per_second * 1e-9,
      m.launch_s * 1e6, r.origin, m.link_bytes_per_second * 1e-9, m.collective_s * 1e6);
  for (const ScalingResult& result : r.results) {
    text += fmt::format(
        "  {:>2} GPUs: {:>9.2f} ms a step, {:.2f} ms of reductions, {:.2f} ms of them after backward: "
        "{:.2f} times one\n",
        result.gpus, result.step_s * 1e3, result.communication_s * 1e3, result.exposed_s * 1e3, result.speedup);
  }
  text += fmt::format("what matters most, by the speed-up of {} GPUs when it is halved and doubled\n",
                      r.results.back().gpus);
  for (const auto& s : r.sensitivities) {
    text += fmt::format("  {:<24} {:.2f}  {:.2f}\n", s.what, s.halved, s.doubled);
  }
  return text;
}

nlohmann::json to_json(const ScalingReport& r) {
  nlohmann::json results = nlohmann::json::array(), sensitivities = nlohmann::json::array();
  for (const ScalingResult& result : r.results) {
    results.push_back({{"gpus", result.gpus},
                       {"step_s", result.step_s},
                       {"communication_s", result.communication_s},
                       {"exposed_s", result.exposed_s},
                       {"speedup", result.speedup}});
  }
  for (const auto& s : r.sensitivities) {
    sensitivities.push_back({{"what", s.what}, {"halved", s.halved}, {"doubled", s.doubled}});
  }
  return {{"batch", r.batch},
          {"gradient_bytes", r.gradient_bytes},
          {"bucket_bytes", r.bucket_bytes},
          {"machine",
           {{"flop_per_second", r.machine.flop_per_second},
            {"bytes_per_second", r.machine.bytes_per_second},
            {"launch_s", r.machine.launch_s},
            {"link_bytes_per_second", r.machine.link_bytes_per_second},
            {"collective_s", r.machine.collective_s},
            {"origin", r.origin}}},
          {"results", results},
          {"sensitivities", sensitivities}};
}

}  // namespace bev
