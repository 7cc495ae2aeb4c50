#include "tests/parity/case.h"

#include <nlohmann/json.hpp>

namespace bev::parity {

namespace {

PredictionType prediction_of(const std::string& name) {
  if (name == "epsilon") return PredictionType::epsilon;
  if (name == "sample") return PredictionType::sample;
  if (name == "v_prediction") return PredictionType::v_prediction;
  fail(ErrorKind::data, "prediction_type {}: expected epsilon, sample or v_prediction", name);
}

CaseKind kind_of(const std::string& name) {
  if (name == "loss") return CaseKind::loss;
  if (name == "train") return CaseKind::train;
  if (name == "sample") return CaseKind::sample;
  fail(ErrorKind::data, "kind {}: expected loss, train or sample", name);
}

PolicyConfig policy_of(const nlohmann::json& c) {
  PolicyConfig p;
  p.mode = c.at("mode") == "raster" ? BevMode::raster : BevMode::tokens;
  p.horizon = c.at("horizon");
  p.observed = c.at("n_obs_steps");
  p.layers = c.at("n_layer");
  p.heads = c.at("n_head");
  p.width = c.at("n_emb");
  p.condition_layers = c.at("n_cond_layers");
  p.causal = c.at("causal_attn");
  p.vl_tokens = c.at("n_vl");
  p.reasoning_tokens = c.at("n_reason");
  p.vlm_dim = c.value("vlm_dim", 2560);
  p.vl_emb_dim = c.value("vl_emb_dim", 1536);
  p.bev_input_size = c.value("bev_input_size", p.bev_input_size);
  p.cells = p.mode == BevMode::raster ? p.grid_cells() : c.value("spatial", int64_t{196});
  p.state_dim = c.value("state_dim", 14);
  p.diffusion.steps = c.value("num_diffusion_steps", 100);
  p.diffusion.prediction = prediction_of(c.value("prediction_type", "epsilon"));
  p.diffusion.clip_sample = c.value("clip_sample", false);
  p.share_decoder_layers = c.value("share_decoder_layers", true);
  p.mask_padding = c.value("mask_padding", false);
  p.action_min = c.at("action_min");
  p.action_max = c.at("action_max");
  p.dropout_embedding = p.dropout_attention = 0;
  return p;
}

}  // namespace

Case read_case(const std::string& path) {
  Case out{.file = SafetensorsFile::open(path), .policy = {}};
  const auto& metadata = out.file.metadata();
  const auto text = [&](const char* key) {
    const auto found = metadata.find(key);
    if (found == metadata.end()) fail(ErrorKind::data, "{}: no metadata key {}: not a parity case", path, key);
    return found->second;
  };
  try {
    out.kind = kind_of(text("kind"));
    const nlohmann::json c = nlohmann::json::parse(text("case"));
    out.policy = policy_of(c);
    out.batch = c.at("batch");
    out.training = c.value("train", true) && out.kind != CaseKind::sample;
    out.given_masks = c.value("mask", false);
    out.padded_rows = c.value("padded_reasoning_rows", 0);
    if (out.kind == CaseKind::train) {
      out.steps = std::stoll(text("steps"));
      out.learning_rate = c.at("lr");
      out.weight_decay = c.at("weight_decay");
      out.max_gradient_norm = c.at("max_grad_norm");
    }
    if (out.kind == CaseKind::sample) {
      out.inference_steps = std::stoll(text("num_inference_steps"));
      out.ddim = c.value("sampler", "ddpm") == "ddim";
    }
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorKind::data, "{}: metadata \"case\": {}", path, error.what());
  } catch (const std::logic_error& error) {
    fail(ErrorKind::data, "{}: a number of steps cannot be read ({})", path, error.what());
  }
  return out;
}

}  // namespace bev::parity
