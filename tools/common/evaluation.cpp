#include "tools/common/evaluation.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "data/loader.h"
#include "model/checkpoint_names.h"
#include "runtime/distributed/replica_group.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/validation.h"
#include "tools/common/fit_to_dataset.h"

namespace bev {

namespace {

constexpr std::pair<const char*, Ablation> ablations[] = {
    {"none", Ablation::none}, {"bev", Ablation::bev}, {"vl", Ablation::vl}};

BatchQueueOptions queue_options(Replica& replica, int64_t batch) {
  return {
      .batch_size = batch, .ahead = 1, .pool = std::make_shared<WorkerPool>(1), .allocate = [&replica](size_t bytes) {
        return replica.device().allocate_staging(bytes);
      }};
}

}  // namespace

Ablation ablation_of(const std::string& name) {
  for (const auto& [known, ablation] : ablations) {
    if (name == known) return ablation;
  }
  fail(ErrorKind::usage, "--ablate {}: expected none, bev or vl", name);
}

const char* name_of(Ablation ablation) {
  for (const auto& [name, known] : ablations) {
    if (ablation == known) return name;
  }
  return "?";
}

std::string checkpoint_of(const std::string& path) {
  if (std::filesystem::exists(path + "/state.json")) return path;
  if (std::filesystem::exists(path + "/best/state.json")) return path + "/best";
  const std::string newest = CheckpointFolder::newest_valid(path, [](const std::string&) {});
  if (newest.empty())
    fail(ErrorKind::data, "{}: no checkpoint there: expected a checkpoint's directory or a run's", path);
  return newest;
}

void Evaluation::run(const std::string& checkpoint, const std::vector<std::string>& overrides,
                     const DeviceChoice& devices, const std::function<void(Evaluation&)>& body) {
  verify_checkpoint(checkpoint);
  ConfiguredRun run;
  run.settings.read_text(read_training_state(checkpoint).configuration, checkpoint + "/state.json");
  for (const std::string& assignment : overrides) run.settings.override_with(assignment);
  run.finish();
  RunConfig& c = run.config;
  const auto train = Dataset::open(c.data.dataset_path + "/train");
  const auto validation = Dataset::open(c.data.dataset_path + "/val");
  fit_to_dataset(run, *train);
  const ValidationOptions options{.sampler = c.sampler,
                                  .inference_steps = c.inference_steps,
                                  .seed = static_cast<uint64_t>(c.training.seed),
                                  .mean_trajectory = mean_trajectory(*train)};

  ReplicaGroup group(1);
  const auto meeting = meet_by_threads(1, "gradients");
  group.run([&](int rank) {
    ReplicaParts parts;
    parts.device = make_device(devices, rank, c.runtime);
    parts.device->make_current();
    parts.host = &group.host(rank);
    parts.activity = &group.activity(rank);
    parts.gradients = group.connect(rank, meeting, *parts.device);
    Device& device = *parts.device;
    PolicyTask* task = nullptr;
    const auto make_task = [&](ParameterStore& store) {
      auto made = std::make_unique<PolicyTask>(store, c.policy, device, Augmentation{}, options);
      task = made.get();
      return made;
    };
    ReplicaConfig config;
    config.micro_batch = micro_batch(c, 1);
    config.optimizer = c.optimizer;
    Replica replica(std::move(parts), make_task, train->fields(), config);
    const auto views = views_of_all(replica.parameters(), replica.parameters().trained_values());
    read_views(SafetensorsFile::open(checkpoint + "/ema.safetensors"), replica.device(), replica.context().stream,
               views, checkpoint_names(c.policy), Numbers::convert);
    replica.optimizer().restart_average();
    Evaluation evaluation(run, validation, replica, *task, options);
    body(evaluation);
  });
}

MetricSums Evaluation::metrics(Ablation ablation, int64_t most) {
  ValidationOptions options = options_;
  options.blank_bev = ablation == Ablation::bev;
  options.blank_vl = ablation == Ablation::vl;
  task_.set_validation(options);
  ValidationLoader loader(validation_, samples_to_validate(*validation_, most), 0, 1,
                          queue_options(replica_, replica_.config().micro_batch));
  return validate(replica_, loader);
}

double Evaluation::sampling_seconds(int64_t steps, int64_t batch) {
  constexpr int repeats = 7;
  Context& context = replica_.context();
  context.training = false;
  context.tape.set_recording(false);
  ValidationLoader loader(validation_, samples_to_validate(*validation_, batch), 0, 1, queue_options(replica_, batch));
  loader.restart();
  Inputs inputs(context, replica_.device(), loader.fields(), batch);
  const Batch& staged = inputs.stage(*loader.next());
  const auto plan = sampler_steps(config().policy.diffusion, config().sampler, steps);
  std::vector<double> seconds;
  for (int repeat = 0; repeat <= repeats; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    task_.sample(context, staged, plan);
    replica_.device().synchronize(context.stream);
    if (repeat > 0) seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  inputs.release();
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[repeats / 2];
}

Evaluation::Speed Evaluation::sampling_speed(int64_t steps, int64_t batch) {
  return {.latency_ms = 1e3 * sampling_seconds(steps, 1),
          .trajectories_per_second = static_cast<double>(batch) / sampling_seconds(steps, batch)};
}

void Evaluation::export_weights(const std::string& path) {
  const auto views = views_of_all(replica_.parameters(), replica_.parameters().trained_values());
  write_safetensors(path,
                    filed(replica_.device(), replica_.context().stream, views, checkpoint_names(config().policy, true)),
                    {{"format", "pt"}});
}

}  // namespace bev
