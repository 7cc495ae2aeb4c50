#include "tools/bench/memory_report.h"

#include <nlohmann/json.hpp>

namespace bev {

namespace {

std::vector<std::pair<const char*, size_t>> rows_of(const MemoryParts& m) {
  return {{"weights", m.weights},
          {"gradients", m.gradients},
          {"optimiser moments", m.moments},
          {"averaged weights", m.averages},
          {"statistics, tables, inputs", m.other_kept},
          {"activations", m.activations},
          {"their gradients, workspaces", m.transient}};
}

}  // namespace

MemoryReport plan_memory(const BenchCase& bench) {
  const auto device = make_bench_device(bench.device, bench.run);
  device->make_current();
  MemoryReport out;
  out.batch = bench.batch;
  out.step = dry_step(bench, *device);
  out.free = device->memory().free;
  out.largest = largest_batch(bench, *device, out.free);
  return out;
}

std::string describe(const MemoryReport& report) {
  const auto mebibytes = [](size_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::string text = fmt::format("memory of a step, batch {}\n", report.batch);
  for (const auto& [name, bytes] : rows_of(report.step.memory)) {
    text += fmt::format("  {:>10.1f} MiB  {}\n", mebibytes(bytes), name);
  }
  text += fmt::format("  {:>10.1f} MiB  in all, at the worst moment; {:.1f} MiB with the holes between\n",
                      mebibytes(report.step.plan.peak), mebibytes(report.step.memory.extent));
  text += "what is held at that moment, by part of the model\n" + report.step.plan.table();
  return text + fmt::format("{:.1f} MiB are free: the largest batch that fits is {}\n", mebibytes(report.free),
                            report.largest);
}

nlohmann::json to_json(const MemoryReport& report) {
  nlohmann::json out = {{"batch", report.batch},
                        {"peak", report.step.plan.peak},
                        {"extent", report.step.memory.extent},
                        {"free", report.free},
                        {"largest_batch", report.largest}};
  for (const auto& [name, bytes] : rows_of(report.step.memory)) out["bytes"][name] = bytes;
  return out;
}

}  // namespace bev
