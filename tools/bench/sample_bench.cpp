#include "tools/bench/sample_bench.h"

#include <nlohmann/json.hpp>

#include "model/policy_task.h"
#include "runtime/transfer.h"
#include "tools/common/clock.h"

namespace bev {

namespace {

/// The first `size` samples of a batch.
Batch first_of(const Batch& batch, int64_t size) {
  Batch out;
  out.size = size;
  out.samples.assign(batch.samples.begin(), batch.samples.begin() + size);
  for (const Batch::Field& field : batch.fields) {
    Shape shape{size};
    for (int i = 1; i < field.value.shape().rank(); ++i) shape.append(field.value.dim(i));
    out.fields.push_back({field.name, field.value.part(0, shape)});
  }
  return out;
}

}  // namespace

SampleReport measure_sampling(const BenchCase& bench, const std::vector<int64_t>& steps, int64_t repeats) {
  SampleReport out;
  out.batch = bench.batch;
  BenchCase planned = bench;  // the replica's memory is planned for the longest
  for (const int64_t count : steps) planned.run.inference_steps = std::max(planned.run.inference_steps, count);
  with_replica(planned, [&](Replica& replica) {
    Context& context = replica.context();
    const auto batches = make_batches(planned, replica);
    const Batch& all = replica.inputs().stage(batches->next());
    const Policy& policy = dynamic_cast<PolicyTask&>(replica.task()).policy();
    context.training = false;
    context.tape.set_recording(false);

    const auto seconds = [&](const Batch& batch, int64_t count) {
      const std::vector<SamplerStep> plan = sampler_steps(bench.run.policy.diffusion, bench.run.sampler, count);
      const Tensor numbers = context.empty({batch.size}, DType::i64);
      write_to_device(replica.device(), context.stream, numbers.raw(), batch.samples.data(), numbers.bytes());
      std::vector<double> taken;
      for (int64_t i = 0; i <= repeats; ++i) {
        replica.device().synchronize(context.stream);
        const double begin = now_seconds();
        const auto noise = [&](int64_t n) { return policy.diffusion().sample_noise(context, numbers, 0, n); };
        const Tensor x = noise(0);
        policy.sample(context, observation_of(batch, bench.run.policy), plan, x,
                      [&](int64_t n) { return noise(n + 1); });
        policy.diffusion().metres(context, x);
        replica.device().synchronize(context.stream);
        if (i > 0) taken.push_back(now_seconds() - begin);
      }
      return spread_of(taken);
    };
    for (const int64_t count : steps) {
      out.rows.push_back({count, seconds(all, count), seconds(first_of(all, 1), count)});
    }
    replica.inputs().release();
  });
  return out;
}

std::string describe(const SampleReport& report) {
  std::string text = fmt::format("sampling, {} at once\n", report.batch);
  for (const auto& row : report.rows) {
    text += fmt::format("  {:>3} steps: {:>8.1f} trajectories a second; one alone takes {}\n", row.steps,
                        static_cast<double>(report.batch) / row.batch.median, milliseconds(row.one));
  }
  return text;
}

nlohmann::json to_json(const SampleReport& report) {
  nlohmann::json rows = nlohmann::json::array();
  for (const auto& row : report.rows) {
    rows.push_back({{"steps", row.steps},
                    {"trajectories_per_second", static_cast<double>(report.batch) / row.batch.median},
                    {"latency_of_one", row.one.median}});
  }
  return {{"batch", report.batch}, {"rows", rows}};
}

}  // namespace bev
