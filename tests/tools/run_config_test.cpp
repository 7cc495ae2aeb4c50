#include "tools/common/run_config.h"

#include <doctest/doctest.h>

namespace bev {

namespace {

std::string error_of(const std::string& text) {
  try {
    ConfiguredRun run;
    run.settings.read_text(text, "test.yaml");
    run.finish();
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// A file of the shape that users of the reference have, with the keys that it ignores.
constexpr const char* reference_file = R"(
device: {gpu_ids: [0]}
dataloader: {batch_size: 128, num_workers: 8, persistent_workers: true, pin_memory: true, prefetch_factor: 2, shuffle: true}
obs_horizon: 4
pred_horizon: 10
action_horizon: 6
n_obs_steps: 4
ema: {inv_gamma: 1.0, max_value: 0.9999, min_value: 0.0, power: 0.75, update_after_step: 0}
optimizer: {_target_: torch.optim.AdamW, betas: [0.9, 0.999], eps: 1.0e-08, lr: 5.0e-05, weight_decay: 1.0e-05}
shape_meta: {action: {shape: [2]}, obs: {image: {shape: [3, 96, 96], type: rgb}}}
enable_action_normalization: true
bev_encoder: {state_dim: 14, feature_dim: 256, use_group_norm: true, freeze_backbone: false, bev_input_size: [448, 448]}
policy: {input_dim: 2, output_dim: 2, horizon: 6, n_obs_steps: 4, cond_dim: 256, obs_as_global_cond: true, n_layer: 12,
         n_head: 16, n_emb: 1024, p_drop_emb: 0.1, p_drop_attn: 0.1, causal_attn: true, time_as_cond: true,
         obs_as_cond: true, n_cond_layers: 6, action_horizon: 6, num_inference_steps: 100, use_anchor: false}
noise_scheduler: {num_diffusion_steps: 100, beta_start: 0.0001, beta_end: 0.02, beta_schedule: squaredcos_cap_v2,
                  clip_sample: false, prediction_type: epsilon}
training: {num_epochs: 1000, max_grad_norm: 1.0, dataset_path: /data/set, image_data_root: /data, sample_interval: 1,
           lr_final: 1e-7, validation_freq: 5, save_freq: 5, early_stopping_patience: 10, checkpoint_dir: runs/a}
logging: {use_wandb: true, wandb_project: p, run_name: n, checkpoint_dir: runs/a, save_every: 5, log_freq: 10}
eval: {num_episodes: 10, max_steps: 500}
data_augmentation: {enable: true, image_noise_std: 0.02, action_noise_std: 0.01, random_crop: false}
model_optimization: {use_mixed_precision: true, gradient_accumulation_steps: 2, warmup_steps: 500, lr_scheduler: cosine}
action_stats: {min: [-14.11, -43.72], max: [74.05, 41.14], mean: [6.9, 0.0], std: [10.9, 2.3]}
controller: {turn_KP: 0.75, brake_speed: 0.4}
)";

}  // namespace

TEST_CASE("a file of the reference's shape is read whole, and its keys act") {
  ConfiguredRun run;
  run.settings.read_text(reference_file, "reference.yaml");
  run.finish();
  const RunConfig& c = run.config;
  CHECK(c.data.batch_size == 128);
  CHECK(c.training.accumulation == 2);
  CHECK(c.warmup_steps == 500);
  CHECK(c.optimizer.beta2 == 0.999);
  CHECK(c.optimizer.ema_max == 0.9999);
  CHECK(c.augmentation.raster_deviation == 0.02);
  CHECK(c.runtime.precision == Precision::bf16);
  CHECK(c.runtime.bf16_where_it_gains);
  CHECK(c.training.early_stopping_patience == 10);
  CHECK(c.policy.action_max[0] == 74.05);
  CHECK(c.action_range_given);
  CHECK(!run.settings.notes().empty());
}

TEST_CASE("what is known for one value only, and what makes no sense, is refused by name") {
  CHECK(contains(error_of("policy: {use_anchor: true}"), "policy.use_anchor"));
  CHECK(contains(error_of("optimizer: {_target_: torch.optim.SGD}"), "AdamW"));
  CHECK(contains(error_of("logging: {wandb_api_key: abc}"), "environment"));
  CHECK(contains(error_of("policy: {n_emb: 100, n_head: 16}"), "policy.n_emb"));
  CHECK(contains(error_of("policy: {p_drop_attn: 1}"), "policy.p_drop_attn"));
  CHECK(contains(error_of("bev_encoder: {bev_input_size: [100, 64]}"), "multiples of 32"));
  CHECK(contains(error_of("policy: {num_inference_steps: 101}"), "num_inference_steps"));
  CHECK(contains(error_of("obs_horizon: 4\npolicy: {n_obs_steps: 5}"), "contradicts"));
  CHECK(contains(error_of("action_stats: {min: [0, 0]}"), "both"));
  CHECK(contains(error_of("dataloader: {batch_size: 0}"), "dataloader.batch_size"));
  CHECK(contains(error_of("training: {num_epoch: 3}"), "training.num_epochs"));
}

TEST_CASE("the resolved configuration reads back as the same") {
  ConfiguredRun run;
  run.settings.read_text(reference_file, "reference.yaml");
  run.finish();
  ConfiguredRun again;
  again.settings.read_text(run.settings.print(), "printed");
  again.finish();
  CHECK(again.settings.print() == run.settings.print());
}

TEST_CASE("the global batch is shared out equally or refused") {
  RunConfig c;
  CHECK(micro_batch(c, 4) == 32);
  c.training.global_batch_size = 96;
  c.training.accumulation = 3;
  CHECK(micro_batch(c, 4) == 8);
  CHECK_THROWS_AS(micro_batch(c, 5), Error);
  c.data.batch_size = 8;
  CHECK(micro_batch(c, 4) == 8);
  CHECK_THROWS_AS(micro_batch(c, 2), Error);
}

TEST_CASE("augmentation is off unless enabled, and an explicit precision wins over mixed precision") {
  ConfiguredRun run;
  run.settings.read_text(
      "data_augmentation: {image_noise_std: 0.5}\nprecision: fp32\n"
      "model_optimization: {use_mixed_precision: true}\n",
      "t");
  run.finish();
  CHECK(run.config.augmentation.raster_deviation == 0);
  CHECK(run.config.runtime.precision == Precision::fp32);
  CHECK(!run.config.runtime.bf16_where_it_gains);
}

}  // namespace bev
