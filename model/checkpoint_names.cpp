#include "model/checkpoint_names.h"

#include <string_view>

namespace bev {

namespace {

constexpr std::string_view layers = "model.decoder.layers.", perception = "obs_encoder.perception.",
                           second_backbone = "obs_encoder.bev_model_mot.backbone.";

/// "model.decoder.layers.7.norm1.weight" -> "norm1.weight"; empty if the name is none of a decoder layer's.
std::string_view within_layer(std::string_view name) {
  if (!name.starts_with(layers)) return {};
  const size_t dot = name.find('.', layers.size());
  return dot == std::string_view::npos ? std::string_view{} : name.substr(dot + 1);
}

std::vector<std::string> repetitions(const std::string& parameter, const PolicyConfig& config) {
  std::vector<std::string> out;
  if (const std::string_view rest = within_layer(parameter); !rest.empty() && config.share_decoder_layers) {
    for (int64_t i = 1; i < config.layers; ++i) out.push_back(fmt::format("{}{}.{}", layers, i, rest));
  }
  if (parameter.starts_with(perception)) {
    out.push_back(std::string(second_backbone) + parameter.substr(perception.size()));
  }
  return out;
}

/// What a tensor that has no parameter of its name is: another name of one, or ("") of no use here.
std::string meaning(const std::string& name, const PolicyConfig& config) {
  if (name.ends_with("num_batches_tracked") || name.ends_with("_dummy_variable")) return "";
  if (const std::string_view rest = within_layer(name); !rest.empty() && config.share_decoder_layers) {
    return fmt::format("{}0.{}", layers, rest);
  }
  const bool of_raster = name.starts_with(perception) || name.starts_with("obs_encoder.bev_model_mot.") ||
                         name.starts_with("obs_encoder.lidar_connector.");
  if (of_raster && config.mode == BevMode::tokens) return "";
  if (name.starts_with(second_backbone)) return std::string(perception) + name.substr(second_backbone.size());
  return name;  // and so refused, as no parameter's name
}

}  // namespace

FileNames checkpoint_names(const PolicyConfig& config, bool repeat) {
  FileNames names;
  if (repeat) names.aliases = [config](const std::string& parameter) { return repetitions(parameter, config); };
  names.parameter_of = [config](const std::string& name) { return meaning(name, config); };
  return names;
}

}  // namespace bev
