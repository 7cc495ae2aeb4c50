#include "tools/common/run_config.h"

#include <algorithm>

namespace bev {

namespace {

const Choices<BevMode> bev_modes = {{"tokens", BevMode::tokens}, {"raster", BevMode::raster}};
const Choices<PredictionType> predictions = {{"epsilon", PredictionType::epsilon},
                                             {"sample", PredictionType::sample},
                                             {"v_prediction", PredictionType::v_prediction}};
const Choices<BetaSchedule> beta_schedules = {{"squaredcos_cap_v2", BetaSchedule::squaredcos_cap_v2},
                                              {"linear", BetaSchedule::linear},
                                              {"scaled_linear", BetaSchedule::scaled_linear}};
const Choices<SamplerKind> samplers = {{"ddpm", SamplerKind::ddpm}, {"ddim", SamplerKind::ddim}};
const Choices<Precision> precisions = {{"tf32", Precision::tf32}, {"fp32", Precision::fp32}, {"bf16", Precision::bf16}};
const Choices<bool> on_or_off = {{"auto", true}, {"off", false}};
const Choices<ScheduleKind> schedules = {
    {"cosine", ScheduleKind::cosine}, {"linear", ScheduleKind::linear}, {"constant", ScheduleKind::constant}};
const Choices<RateScaling> rate_scalings = {
    {"none", RateScaling::none}, {"sqrt", RateScaling::sqrt}, {"linear", RateScaling::linear}};
const Choices<NonFinitePolicy> nonfinite_policies = {{"stop", NonFinitePolicy::stop}, {"skip", NonFinitePolicy::skip}};

void bind_data(Settings& s, RunConfig& c) {
  s.bind("device.gpu_ids", c.gpu_ids, "GPUs to train on, unless --gpus names others");
  s.bind("dataloader.batch_size", c.data.batch_size,
         "samples a GPU and micro-step; auto: 32, or its share of training.global_batch_size");
  s.bind("dataloader.num_workers", c.data.workers, "loader threads in all");
  s.bind("dataloader.prefetch_factor", c.data.prefetch, "batches ready ahead");
  s.bind("dataloader.shuffle", c.data.shuffle, "a new order every epoch");
  s.bind("data.normalize_state", c.policy.normalize_state,
         "standardise the state values by the data set's statistics (false: as the reference)");
  s.bind("data_augmentation.enable", c.augment, "noise on what the car observes, in training");
  s.bind("data_augmentation.image_noise_std", c.augmentation.raster_deviation, "on the raster, whose white is 1");
  s.bind("data_augmentation.action_noise_std", c.augmentation.state_deviation, "on the state values");
  s.legacy("dataloader.persistent_workers", "loader threads always live as long as the run");
  s.legacy("dataloader.pin_memory", "batches for GPUs always lie in pinned memory");
  s.fixed("data_augmentation.random_crop", "false", "a raster that is cropped no longer fits its trajectory");
}

void bind_policy(Settings& s, RunConfig& c) {
  PolicyConfig& p = c.policy;
  s.bind("policy.horizon", p.horizon, "future waypoints at 2 Hz");
  s.bind("policy.n_obs_steps", p.observed, "observed steps");
  s.alias("n_obs_steps", "policy.n_obs_steps");
  s.alias("obs_horizon", "policy.n_obs_steps");
  s.bind("policy.n_layer", p.layers, "decoder layers");
  s.bind("policy.n_head", p.heads, "attention heads");
  s.bind("policy.n_emb", p.width, "width");
  s.bind("policy.n_cond_layers", p.condition_layers, "layers of the condition encoder");
  s.bind("policy.p_drop_emb", p.dropout_embedding, "dropout of embeddings");
  s.bind("policy.p_drop_attn", p.dropout_attention, "every other dropout");
  s.bind("policy.causal_attn", p.causal, "mask the trajectory's attention to the memory");
  s.bind("policy.share_decoder_layers", p.share_decoder_layers,
         "all decoder layers are one (the reference); false: each has its own weights");
  s.bind("policy.mask_padding", p.mask_padding, "token rows that are all zero in the data are keys to nobody");
  s.bind("policy.use_vl", p.use_vl, "the branch of vision-language tokens");
  s.bind("policy.use_reasoning", p.use_reasoning, "the branch of reasoning tokens");
  s.bind("policy.vlm_dim", p.vlm_dim, "width of both token sets in the data");
  s.bind("policy.vl_emb_dim", p.vl_emb_dim, "width behind the token projection");
  s.bind("policy.plain", p.plain, "compute the long way, without the exact restructurings: for comparison");
  for (const char* key : {"policy.action_horizon", "action_horizon"}) {
    s.legacy(key, "all of policy.horizon is predicted; metrics are at 1, 2 and 3 s");
  }
  s.bind("policy.num_inference_steps", c.inference_steps, "sampling steps of validation");
  s.bind("policy.sampler", c.sampler, samplers, "how validation samples");
  s.fixed("policy.input_dim", "2", "waypoints are x and y");
  s.fixed("policy.output_dim", "2", "waypoints are x and y");
  s.fixed("policy.cond_dim", "256", "the BEV encoder gives 256 features");
  for (const char* key : {"policy.time_as_cond", "policy.obs_as_cond", "policy.obs_as_global_cond"}) {
    s.fixed(key, "true", "the policy is always conditioned on time and on what the car observes");
  }
  s.fixed("policy.use_anchor", "false", "this policy has no anchors");
  s.legacy("pred_horizon", "policy.horizon is what is predicted");

  s.bind("bev_encoder.mode", p.mode, bev_modes, "precomputed BEV tokens, or rasters through the backbone");
  s.bind("bev_encoder.state_dim", p.state_dim, "values of the state");
  s.bind("bev_encoder.bev_input_size", p.bev_input_size, "sides of the raster, multiples of 32");
  s.bind("bev_encoder.base_channels", p.base_channels, "of the backbone's first stage");
  s.bind("bev_encoder.sync_batch_norm", p.sync_batch_norm, "batch statistics over the images of all replicas");
  s.bind("bev_encoder.freeze_backbone", p.freeze_backbone, "do not train the backbone");
  s.bind("bev_encoder.pretrained_path", c.pretrained_backbone,
         "safetensors with weights of obs_encoder to start from; empty: none");
  s.fixed("bev_encoder.feature_dim", "256", "the BEV encoder gives 256 features");
  s.fixed("bev_encoder.use_group_norm", "true", "the features are always normalised in groups");

  DiffusionConfig& d = p.diffusion;
  s.bind("noise_scheduler.num_diffusion_steps", d.steps, "diffusion times");
  s.bind("noise_scheduler.beta_start", d.beta_start, "of the linear schedules");
  s.bind("noise_scheduler.beta_end", d.beta_end, "of the linear schedules");
  s.bind("noise_scheduler.beta_schedule", d.schedule, beta_schedules, "");
  s.bind("noise_scheduler.clip_sample", d.clip_sample, "clamp the predicted trajectory in every sampling step");
  s.bind("noise_scheduler.prediction_type", d.prediction, predictions, "what the network predicts");

  s.bind("enable_action_normalization", p.normalize_actions, "trajectories in [-1, 1]");
  s.bind("action_stats.min", p.action_min, "metres, x and y; not given: the data set's own");
  s.bind("action_stats.max", p.action_max, "metres, x and y; not given: the data set's own");
  s.legacy("action_stats.mean", "normalisation is by the range");
  s.legacy("action_stats.std", "normalisation is by the range");
}

void bind_optimizer(Settings& s, RunConfig& c) {
  OptimizerConfig& o = c.optimizer;
  s.bind("optimizer.lr", c.learning_rate, "peak learning rate");
  s.bind("optimizer.scale_lr", c.rate_scaling, rate_scalings,
         "multiply the rate by the number of replicas, or its root");
  s.bind("optimizer.betas", c.betas, "decay of AdamW's moments");
  s.bind("optimizer.eps", o.epsilon, "");
  s.bind("optimizer.weight_decay", o.weight_decay, "decoupled");
  s.bind("optimizer.decay_norm_and_bias", o.decay_norm_and_bias,
         "decay one-dimensional parameters too (the reference); false: the usual way");
  s.fixed("optimizer._target_", "torch.optim.AdamW", "AdamW is the one optimiser here");
  s.bind("ema.inv_gamma", o.ema_inv_gamma, "average of the weights: 1 - (1 + step / inv_gamma)^-power");
  s.bind("ema.power", o.ema_power, "");
  s.bind("ema.min_value", o.ema_min, "");
  s.bind("ema.max_value", o.ema_max, "");
  s.bind("ema.update_after_step", o.ema_update_after_step, "");
}

void bind_training(Settings& s, RunConfig& c) {
  TrainingConfig& t = c.training;
  s.bind("training.num_epochs", t.epochs, "");
  s.bind("training.dataset_path", c.data.dataset_path, "directory with train/ and val/, as bev_data writes them");
  s.bind("training.sample_interval", c.data.sample_interval, "every n-th training sample");
  s.bind("training.global_batch_size", t.global_batch_size,
         "samples an optimiser step; auto: what dataloader.batch_size gives");
  s.bind("training.seed", t.seed, "of weights, order, dropout and noise");
  s.bind("training.max_grad_norm", c.optimizer.max_gradient_norm, "clip gradients to this global norm; 0: do not");
  s.bind("training.lr_final", c.final_learning_rate, "floor of the schedule");
  s.bind("training.validation_freq", t.validation_freq, "epochs between validations");
  s.bind("training.save_freq", t.save_freq, "epochs between checkpoints");
  s.bind("training.save_steps", t.save_steps, "optimiser steps between further checkpoints; 0: none");
  s.bind("training.keep_checkpoints", t.keep_checkpoints, "how many are kept, beside last and best");
  s.bind("training.early_stopping_patience", t.early_stopping_patience,
         "validations without a better L2_avg before stopping; 0: never");
  s.bind("training.checkpoint_dir", t.checkpoint_dir, "where checkpoints, metrics and pictures go");
  s.bind("training.on_nonfinite", t.on_nonfinite, nonfinite_policies,
         "what a loss or gradient that is not finite does");
  s.bind("training.nonfinite_skips_at_most", t.nonfinite_skips_at_most, "then it stops after all");
  s.bind("training.collective_timeout_s", t.collective_timeout_s, "a replica that is later than this has failed");
  s.bind("training.agreement_freq", t.agreement_freq,
         "steps between comparisons of all replicas' weights and sums of gradients");
  s.legacy("training.image_data_root", "bev_data convert reads it; the trainer reads converted data sets");
  s.bind("model_optimization.gradient_accumulation_steps", t.accumulation, "micro-steps an optimiser step");
  s.bind("model_optimization.warmup_steps", c.warmup_steps, "optimiser steps");
  s.bind("model_optimization.lr_scheduler", c.schedule, schedules, "");
  s.bind("model_optimization.use_mixed_precision", c.mixed_precision,
         "bf16 products where the device gains by them, unless runtime.precision says otherwise");
  s.bind("logging.log_freq", t.log_freq, "steps between lines");
  s.bind("logging.run_name", c.run_name, "for the run's record");
  s.bind("logging.pictures", t.pictures, "validation pictures kept each time");
  s.alias("logging.checkpoint_dir", "training.checkpoint_dir");
  s.alias("logging.save_every", "training.save_freq");
  for (const char* key : {"logging.use_wandb", "logging.wandb_project", "logging.wandb_entity"}) {
    s.legacy(key, "metrics are JSON lines in the checkpoint directory; the name is kept in the run's record");
  }
  for (const char* key : {"logging.wandb_api_key", "logging.api_key", "wandb_api_key"}) {
    s.refuse(key,
             "a credential does not belong in a configuration: revoke it, and keep its successor in the environment");
  }
}

void bind_runtime(Settings& s, RunConfig& c) {
  RuntimeConfig& r = c.runtime;
  s.bind("runtime.precision", r.precision, precisions,
         "of products; where it says bf16 a GPU's convolutions are at tf32; a CPU's are at fp32, and without AVX-512 "
         "VNNI so is tf32");
  s.alias("precision", "runtime.precision");
  s.bind("runtime.cuda_graph", r.cuda_graph, on_or_off,
         "auto: on a GPU a step is recorded once and repeated; off: every kernel is launched by itself");
  s.bind("runtime.autotune_cache", r.autotune_cache, "where timed choices of algorithms are kept; empty: nowhere");
  s.bind("runtime.bucket_mib", r.bucket_mib, "MiB of gradients in one reduction");
  s.bind("runtime.shard_optimizer", r.shard_optimizer, "each replica keeps the optimiser's state of its share only");
}

void bind_legacy(Settings& s) {
  s.legacy("shape_meta.", "shapes are the data set's, which the configuration is checked against");
  s.legacy("eval.", "bev_eval has its own options");
  s.legacy("controller.", "kept in the run's record for the driving agent");
}

void require(bool good, const char* key, const std::string& value, const char* expected) {
  if (!good) fail(ErrorKind::usage, "{} is {}: expected {}", key, value, expected);
}

void check_counts(const RunConfig& c) {
  const auto at_least = [](const char* key, int64_t value, int64_t least) {
    if (value < least) fail(ErrorKind::usage, "{} is {}: expected at least {}", key, value, least);
  };
  at_least("dataloader.batch_size", c.data.batch_size.value_or(1), 1);
  at_least("training.global_batch_size", c.training.global_batch_size.value_or(1), 1);
  at_least("dataloader.num_workers", c.data.workers, 1);
  at_least("dataloader.prefetch_factor", c.data.prefetch, 1);
  at_least("training.sample_interval", c.data.sample_interval, 1);
  at_least("training.num_epochs", c.training.epochs, 1);
  at_least("training.validation_freq", c.training.validation_freq, 1);
  at_least("training.save_freq", c.training.save_freq, 1);
  at_least("training.save_steps", c.training.save_steps, 0);
  at_least("training.keep_checkpoints", c.training.keep_checkpoints, 1);
  at_least("training.early_stopping_patience", c.training.early_stopping_patience, 0);
  at_least("training.agreement_freq", c.training.agreement_freq, 1);
  at_least("model_optimization.gradient_accumulation_steps", c.training.accumulation, 1);
  at_least("model_optimization.warmup_steps", c.warmup_steps, 0);
  at_least("logging.log_freq", c.training.log_freq, 1);
  at_least("logging.pictures", c.training.pictures, 0);
  at_least("policy.n_layer", c.policy.layers, 1);
  at_least("policy.n_cond_layers", c.policy.condition_layers, 0);
  at_least("policy.horizon", c.policy.horizon, 1);
  at_least("policy.n_obs_steps", c.policy.observed, 1);
}

void check_values(const RunConfig& c) {
  const PolicyConfig& p = c.policy;
  require(p.heads >= 1 && p.width % p.heads == 0 && p.width / std::max<int64_t>(p.heads, 1) % 2 == 0, "policy.n_emb",
          fmt::format("{} with {} heads", p.width, p.heads), "a multiple of twice policy.n_head");
  for (const auto& [key, value] :
       {std::pair("policy.p_drop_emb", p.dropout_embedding), std::pair("policy.p_drop_attn", p.dropout_attention)}) {
    require(value >= 0 && value < 1, key, fmt::format("{}", value), "0 <= p < 1");
  }
  for (const int64_t side : p.bev_input_size) {
    require(side >= 32 && side % 32 == 0, "bev_encoder.bev_input_size", fmt::format("{}", side), "multiples of 32");
  }
  require(p.base_channels >= 2 && p.base_channels % 2 == 0, "bev_encoder.base_channels",
          fmt::format("{}", p.base_channels), "an even number");
  require(c.learning_rate > 0, "optimizer.lr", fmt::format("{}", c.learning_rate), "above 0");
  require(c.final_learning_rate >= 0 && c.final_learning_rate <= c.learning_rate, "training.lr_final",
          fmt::format("{}", c.final_learning_rate), "0 to optimizer.lr");
  require(c.optimizer.max_gradient_norm >= 0, "training.max_grad_norm",
          fmt::format("{}", c.optimizer.max_gradient_norm), "0 or more");
  require(c.optimizer.weight_decay >= 0, "optimizer.weight_decay", fmt::format("{}", c.optimizer.weight_decay),
          "0 or more");
  for (const double beta : c.betas) {
    require(beta >= 0 && beta < 1, "optimizer.betas", fmt::format("{}", beta), "0 <= beta < 1");
  }
  require(c.augmentation.raster_deviation >= 0 && c.augmentation.state_deviation >= 0, "data_augmentation", "negative",
          "deviations of 0 or more");
  require(c.training.collective_timeout_s > 0, "training.collective_timeout_s",
          fmt::format("{}", c.training.collective_timeout_s), "seconds above 0");
  require(c.runtime.bucket_mib > 0, "runtime.bucket_mib", fmt::format("{}", c.runtime.bucket_mib), "above 0");
  require(c.inference_steps >= 1 && c.inference_steps <= p.diffusion.steps, "policy.num_inference_steps",
          fmt::format("{}", c.inference_steps), "1 to noise_scheduler.num_diffusion_steps");
}

}  // namespace

ConfiguredRun::ConfiguredRun() {
  bind_data(settings, config);
  bind_policy(settings, config);
  bind_optimizer(settings, config);
  bind_training(settings, config);
  bind_runtime(settings, config);
  bind_legacy(settings);
}

void ConfiguredRun::finish() {
  RunConfig& c = config;
  check_counts(c);
  check_values(c);
  if (settings.given("action_stats.min") != settings.given("action_stats.max")) {
    fail(ErrorKind::usage, "action_stats: give both min and max, or neither: then the data set's are used");
  }
  c.action_range_given = settings.given("action_stats.min");
  if (!settings.given("runtime.precision") && c.mixed_precision) {
    c.runtime.precision = Precision::bf16;
    c.runtime.bf16_where_it_gains = true;
  }
  if (!c.augment) c.augmentation = {};
  c.optimizer.beta1 = c.betas[0];
  c.optimizer.beta2 = c.betas[1];
  c.policy.cells = c.policy.grid_cells();
}

int64_t micro_batch(const RunConfig& config, int replicas) {
  constexpr int64_t usual = 32;
  const std::optional<int64_t> global = config.training.global_batch_size, micro = config.data.batch_size;
  if (!global) return micro.value_or(usual);
  const int64_t parts = replicas * config.training.accumulation;
  if (*global % parts != 0) {
    fail(ErrorKind::usage, "training.global_batch_size is {}: expected a multiple of {} ({} replicas x {} micro-steps)",
         *global, parts, replicas, config.training.accumulation);
  }
  if (micro && *micro * parts != *global) {
    fail(ErrorKind::usage,
         "dataloader.batch_size {} x {} replicas x {} micro-steps is not training.global_batch_size {}", *micro,
         replicas, config.training.accumulation, *global);
  }
  return *global / parts;
}

std::unique_ptr<ConfiguredRun> load_run(const std::string& path, const std::vector<std::string>& overrides) {
  auto run = std::make_unique<ConfiguredRun>();
  if (!path.empty()) run->settings.read_file(path);
  for (const std::string& assignment : overrides) run->settings.override_with(assignment);
  run->finish();
  return run;
}

}  // namespace bev
