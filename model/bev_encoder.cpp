#include "model/bev_encoder.h"

#include <cmath>

#include "model/bev_grid.h"
#include "runtime/ops/activation.h"
#include "runtime/ops/cell_attention.h"
#include "runtime/ops/copy.h"
#include "runtime/ops/group_norm.h"
#include "runtime/ops/image.h"

namespace bev {

namespace {

constexpr int64_t norm_groups = 8, map_features = 256;
constexpr ImageNormalisation normalisation{.mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}};
constexpr LinearInit init = LinearInit::fan_in_uniform;

GridSize checked_grid(const PolicyConfig& config) {
  const auto [height, width] = config.bev_input_size;
  if (height < 32 || width < 32 || height % 32 != 0 || width % 32 != 0) {
    fail(ErrorKind::usage, "bev_encoder.bev_input_size is [{}, {}]: both sides must be positive multiples of 32",
         height, width);
  }
  return {height / 32, width / 32};
}

/// The grid that `cells` tokens form where it is not that of the attention.
GridSize square_grid(int64_t cells, GridSize attention) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(cells))));
  if (side * side != cells) {
    fail(ErrorKind::usage,
         "{} BEV tokens a frame fit neither the {} x {} cells of bev_encoder.bev_input_size nor a square grid", cells,
         attention.rows, attention.columns);
  }
  return {side, side};
}

/// While it lives the tape records nothing: what is computed are constants.
class Constant {
 public:
  Constant(Tape& tape, bool active) : tape_(tape), recording_(tape.recording()) {
    if (active) tape_.set_recording(false);
  }
  ~Constant() { tape_.set_recording(recording_); }
  Constant(const Constant&) = delete;
  Constant& operator=(const Constant&) = delete;

 private:
  Tape& tape_;
  bool recording_;
};

}  // namespace

RasterTokens::RasterTokens(ParameterStore& store, const PolicyConfig& config)
    : backbone(
          store, "obs_encoder.perception",
          {.channels = config.base_channels, .frozen = config.freeze_backbone, .synchronised = config.sync_batch_norm}),
      connector_1(store, "obs_encoder.lidar_connector.fc1", map_features, BevEncoder::token_width, init),
      connector_2(store, "obs_encoder.lidar_connector.fc2", BevEncoder::token_width, BevEncoder::token_width, init),
      frozen(config.freeze_backbone) {
  const int64_t channels = 8 * config.base_channels;
  const std::string name = "obs_encoder.bev_model_mot.proj";
  projection = &store.declare(name + ".weight", {map_features, 1, 1, channels},
                              Init::normal(std::sqrt(2.0 / map_features)), FileLayout::filter);
  projection_bias =
      &store.declare(name + ".bias", {map_features}, Init::uniform(1 / std::sqrt(static_cast<double>(channels))));
  position = &store.declare_table("obs_encoder.position", position_map(checked_grid(config), map_features));
}

Variable RasterTokens::operator()(Context& context, const Tensor& raster) const {
  Variable features;
  {
    const Constant constant(context.tape, frozen);
    features = backbone(context, channels_last(context, raster, normalisation));
  }
  const int64_t images = features.dim(0), cells = features.dim(1) * features.dim(2);
  const Variable placed = linear(context, features, *projection, projection_bias).view({images, cells, map_features});
  // In place: the product's own values are needed by nobody, and gradients pass through.
  copy_rows(context, images, cells, map_features, {position->value, 0, 0, map_features},
            {placed.value(), 0, cells * map_features, map_features}, true);
  return connector_2(context, activate(context, connector_1(context, placed), Activation::gelu));
}

BevEncoder::BevEncoder(ParameterStore& store, const PolicyConfig& config)
    : raster_(config.mode == BevMode::raster ? std::make_unique<RasterTokens>(store, config) : nullptr),
      measurements_0_(store, "obs_encoder.measurements.0", config.state_dim, state_width, init),
      measurements_2_(store, "obs_encoder.measurements.2", state_width, state_width, init),
      attention_0_(store, "obs_encoder.init_att.0", state_width, 256, init),
      attention_2_(store, "obs_encoder.init_att.2", 256, checked_grid(config).cells(), init),
      join_0_(store, "obs_encoder.join_ctrl.0", token_width + state_width, 512, init),
      join_2_(store, "obs_encoder.join_ctrl.2", 512, 512, init),
      join_4_(store, "obs_encoder.join_ctrl.4", 512, condition_width, init),
      norm_weight_(&store.declare("obs_encoder.feature_norm.weight", {condition_width}, Init::constant(1))),
      norm_bias_(&store.declare("obs_encoder.feature_norm.bias", {condition_width}, Init::constant(0))) {
  if (raster_) {
    observed_ = {3, config.bev_input_size[0], config.bev_input_size[1]};
    return;
  }
  observed_ = {config.cells, token_width};
  const GridSize grid = checked_grid(config);
  if (config.cells != grid.cells())
    resize_ = &store.declare_table("obs_encoder.resize", bilinear_matrix(grid, square_grid(config.cells, grid)));
}

Variable BevEncoder::operator()(Context& context, const Tensor& observation, const Variable& state) const {
  const Scope scope(context.tape, "obs_encoder");
  const auto relu = [&](const Variable& x) { return activate(context, x, Activation::relu); };
  const int64_t samples = observation.dim(0), observed = observation.dim(1), steps = samples * observed;
  Shape expected{samples, observed}, flat{steps};
  for (const int64_t size : observed_) expected.append(size), flat.append(size);
  if (observation.shape() != expected) {
    fail(ErrorKind::data, "BEV observations are {}, but the model expects {}", observation.shape().text(),
         expected.text());
  }
  const Tensor observed_steps = observation.view(flat);
  const Variable tokens = raster_ ? (*raster_)(context, observed_steps) : Variable(observed_steps);

  const Variable m = relu(measurements_2_(context, relu(measurements_0_(context, state))));
  const Variable scores = attention_2_(context, relu(attention_0_(context, m)));
  const Variable found = attend_to_cells(context, scores, resize_, tokens, m);
  const Variable joined = relu(join_4_(context, relu(join_2_(context, relu(join_0_(context, found))))));
  return group_norm(context, joined, *norm_weight_, *norm_bias_, norm_groups)
      .view({samples, observed, condition_width});
}

}  // namespace bev
