// What there is to choose about the policy. Every other file of this folder reads these; tools/ fills them from YAML.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace bev {

enum class BevMode : uint8_t { tokens, raster };
enum class PredictionType : uint8_t { epsilon, sample, v_prediction };
enum class BetaSchedule : uint8_t { squaredcos_cap_v2, linear, scaled_linear };

struct DiffusionConfig {
  int64_t steps = 100;  // num_diffusion_steps
  double beta_start = 1e-4, beta_end = 0.02;
  BetaSchedule schedule = BetaSchedule::squaredcos_cap_v2;
  PredictionType prediction = PredictionType::epsilon;
  bool clip_sample = false;
};

struct PolicyConfig {
  // Data: what a sample holds.
  int64_t observed = 4;                      // To: n_obs_steps
  int64_t horizon = 6;                       // H: future waypoints at 2 Hz
  int64_t state_dim = 14;                    // D
  bool use_vl = true, use_reasoning = true;  // false: the branch is not in the model
  int64_t vl_tokens = 512, reasoning_tokens = 7;
  int64_t vlm_dim = 2560;     // width of both token sets
  int64_t vl_emb_dim = 1536;  // width behind feature_encoder

  // BEV encoder.
  BevMode mode = BevMode::tokens;
  std::array<int64_t, 2> bev_input_size = {448, 448};  // of the raster, and of the grid that init_att speaks of
  int64_t cells = 196;                                 // S of the data's tokens; in raster mode (Hb/32)(Wb/32)
  int64_t base_channels = 64;    // of the backbone's first stage; the stem has half, the last stage 8 times as many
  bool sync_batch_norm = false;  // statistics over the images of all replicas
  bool freeze_backbone = false;
  bool normalize_state = false;                     // standardise the state by the data set's statistics:
  std::vector<double> state_mean, state_deviation;  // [D]

  // Transformer.
  int64_t width = 1024;  // E: n_emb
  int64_t heads = 16, layers = 12, condition_layers = 6;
  double dropout_embedding = 0.1, dropout_attention = 0.1;  // p_drop_emb, p_drop_attn
  bool causal = true;                                       // causal_attn
  bool share_decoder_layers = true;                         // MoT-DP's decoder layers are one object
  bool mask_padding = false;                                // rows that are all zero in the data are keys to nobody

  // Actions: x0 = 2 (a - min)/(max - min + 1e-8) - 1 per coordinate, metres.
  bool normalize_actions = true;
  std::array<double, 2> action_min = {-1, -1}, action_max = {1, 1};

  DiffusionConfig diffusion;

  /// Compute as the reference does, without the exact restructurings: for comparison only.
  bool plain = false;

  int64_t memory_tokens() const { return observed + (use_vl ? 1 : 0) + (use_reasoning ? 1 : 0); }  // M
  int64_t grid_cells() const { return (bev_input_size[0] / 32) * (bev_input_size[1] / 32); }       // S0
};

/// Noise on what the car observes, in training (`data_augmentation`). Deviations: of a raster's [0, 1], of the state's
/// values.
struct Augmentation {
  double raster_deviation = 0, state_deviation = 0;
};

}  // namespace bev
