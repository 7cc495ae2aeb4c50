#include "tools/common/training_run.h"

#include <algorithm>

#include "data/loader.h"
#include "model/checkpoint_names.h"
#include "runtime/distributed/link_check.h"
#include "runtime/distributed/statistics.h"
#include "tools/common/fit_to_dataset.h"

namespace bev {

namespace {

constexpr int64_t link_check_bytes = int64_t{16} << 20;
constexpr double link_check_seconds = 60;

HostAllocator staging_memory(Device& device) {
  return [&device](size_t bytes) { return device.allocate_staging(bytes); };
}

}  // namespace

TrainingRun::TrainingRun(ConfiguredRun& run, const TrainingRequest& request)
    : run_(run),
      request_(request),
      train_(Dataset::open(run.config.data.dataset_path + "/train")),
      validation_(Dataset::open(run.config.data.dataset_path + "/val")),
      micro_batch_(bev::micro_batch(run.config, request.devices.replicas())) {
  fit_to_dataset(run, *train_);
  mean_trajectory_ = mean_trajectory(*train_);
  pool_ = std::make_shared<WorkerPool>(static_cast<int>(run.config.data.workers));
  gradients_ = meet(request.devices, "gradients");
}

double TrainingRun::learning_rate() const {
  return run_.config.learning_rate * rate_factor(run_.config.rate_scaling, request_.devices.replicas());
}

TrainerConfig TrainingRun::trainer_config() const {
  const RunConfig& c = run_.config;
  TrainerConfig out;
  out.folder = c.training.checkpoint_dir;
  out.configuration = run_.settings.print();
  out.epochs = c.training.epochs;
  out.max_steps = request_.max_steps;
  out.accumulation = c.training.accumulation;
  out.schedule = {
      .kind = c.schedule, .peak = learning_rate(), .last = c.final_learning_rate, .warmup_steps = c.warmup_steps};
  out.validate_epochs = c.training.validation_freq;
  out.save_epochs = c.training.save_freq;
  out.save_steps = c.training.save_steps;
  out.log_steps = c.training.log_freq;
  out.agreement_steps = c.training.agreement_freq;
  out.keep_checkpoints = c.training.keep_checkpoints;
  out.patience = c.training.early_stopping_patience;
  out.on_nonfinite = c.training.on_nonfinite;
  out.skips_at_most = c.training.nonfinite_skips_at_most;
  out.profile = request_.profile;
  return out;
}

ReplicaConfig TrainingRun::replica_config() const {
  const RunConfig& c = run_.config;
  ReplicaConfig out;
  out.micro_batch = micro_batch_;
  out.accumulates = c.training.accumulation > 1;
  out.seed = static_cast<uint64_t>(c.training.seed);
  out.optimizer = c.optimizer;
  out.reducer = {.bucket_bytes = static_cast<size_t>(c.runtime.bucket_mib * (1 << 20)),
                 .sharded = c.runtime.shard_optimizer};
  out.graph = c.runtime.cuda_graph;
  // Replicas that share a GPU share its memory.
  for (const int gpu : request_.devices.gpus) {
    const auto sharing = std::count(request_.devices.gpus.begin(), request_.devices.gpus.end(), gpu);
    out.memory_share = std::min(out.memory_share, share_of_gpu(sharing));
  }
  return out;
}

void TrainingRun::load_pretrained(Replica& replica) const {
  const std::string& path = run_.config.pretrained_backbone;
  if (path.empty() || !request_.resume.empty()) return;
  std::vector<ParameterView> views;
  for (const ParameterView& view : views_of_all(replica.parameters(), replica.parameters().trained_values())) {
    if (view.name.starts_with("obs_encoder.")) views.push_back(view);
  }
  FileNames names;  // whatever else the file holds is left alone
  names.parameter_of = [](const std::string& name) {
    return name.starts_with("obs_encoder.") ? std::string() : "obs_encoder." + name;
  };
  read_views(SafetensorsFile::open(path), replica.device(), replica.context().stream, views, names, Numbers::convert);
  replica.optimizer().restart_average();
}

TrainingOutcome TrainingRun::run(StopRequest& stop, const TrainerHooks& hooks, const ValidationObserver& observer) {
  const int replicas = request_.devices.replicas();
  std::vector<TrainingOutcome> outcomes(static_cast<size_t>(replicas));
  ReplicaGroup group(replicas, {.timeout_s = run_.config.training.collective_timeout_s});
  group.run([&](int rank) { outcomes[static_cast<size_t>(rank)] = run_replica(group, rank, stop, hooks, observer); });
  return outcomes.front();
}

TrainingOutcome TrainingRun::run_replica(ReplicaGroup& group, int rank, StopRequest& stop, const TrainerHooks& hooks,
                                         const ValidationObserver& observer) {
  const RunConfig& c = run_.config;
  const int replicas = request_.devices.replicas();
  ReplicaParts parts;
  parts.device = make_device(request_.devices, rank, c.runtime);
  parts.device->make_current();
  parts.host = &group.host(rank);
  parts.activity = &group.activity(rank);
  parts.gradients = group.connect(rank, gradients_, *parts.device);
  if (replicas > 1) {
    const LinkReport links = check_links(*parts.gradients, *parts.host, *parts.device, link_check_bytes);
    if (rank == 0 && hooks.note) hooks.note(links.text());
  }

  Device& device = *parts.device;
  const auto make_task = [&](ParameterStore& store) {
    const ValidationOptions validation{.sampler = c.sampler,
                                       .inference_steps = c.inference_steps,
                                       .seed = static_cast<uint64_t>(c.training.seed),
                                       .mean_trajectory = mean_trajectory_};
    auto task = std::make_unique<PolicyTask>(store, c.policy, device, c.augmentation, validation);
    if (rank == 0) task->set_observer(observer);
    return task;
  };
  Replica replica(std::move(parts), make_task, train_->fields(), replica_config());
  if (rank == 0 && hooks.note) hooks.note("memory\n" + replica.memory().table());
  load_pretrained(replica);
  CommunicatedStatistics statistics(replica.gradients());
  if (c.policy.sync_batch_norm) replica.context().statistics = &statistics;

  const Share share{
      .replica = rank, .replicas = replicas, .micro_batch = micro_batch_, .accumulation = c.training.accumulation};
  const Sampler sampler(
      train_->size(), share.global_batch(),
      {.seed = static_cast<uint64_t>(c.training.seed), .shuffle = c.data.shuffle, .interval = c.data.sample_interval});
  const BatchQueueOptions options{.batch_size = micro_batch_,
                                  .ahead = c.data.prefetch,
                                  .pool = pool_,
                                  .allocate = staging_memory(replica.device())};
  Loader loader(train_, sampler, share, options);
  ValidationLoader validation(validation_, samples_to_validate(*validation_), rank, replicas, options);
  Trainer trainer(replica, loader, &validation, trainer_config(), checkpoint_names(c.policy), hooks, stop);
  if (!request_.resume.empty()) trainer.resume(request_.resume);
  return trainer.run();
}

}  // namespace bev
