#include "model/bev_encoder.h"

#include <cmath>

#include "model/bev_grid.h"
#include "runtime/ops/activation.h"
#include "runtime/ops/cell_attention.h"
#include "runtime/ops/group_norm.h"

namespace bev {

namespace {

constexpr int64_t norm_groups = 8;
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

}  // namespace

BevEncoder::BevEncoder(ParameterStore& store, const PolicyConfig& config)
    : measurements_0_(store, "obs_encoder.measurements.0", config.state_dim, state_width, init),
      measurements_2_(store, "obs_encoder.measurements.2", state_width, state_width, init),
      attention_0_(store, "obs_encoder.init_att.0", state_width, 256, init),
      attention_2_(store, "obs_encoder.init_att.2", 256, checked_grid(config).cells(), init),
      join_0_(store, "obs_encoder.join_ctrl.0", token_width + state_width, 512, init),
      join_2_(store, "obs_encoder.join_ctrl.2", 512, 512, init),
      join_4_(store, "obs_encoder.join_ctrl.4", 512, condition_width, init),
      norm_weight_(&store.declare("obs_encoder.feature_norm.weight", {condition_width}, Init::constant(1))),
      norm_bias_(&store.declare("obs_encoder.feature_norm.bias", {condition_width}, Init::constant(0))) {
  const GridSize grid = checked_grid(config);
  if (config.cells != grid.cells()) {
    resize_ = &store.declare_table("obs_encoder.resize", bilinear_matrix(grid, square_grid(config.cells, grid)));
  }
}

Variable BevEncoder::operator()(Context& context, const Tensor& observation, const Variable& state) const {
  const Scope scope(context.tape, "obs_encoder");
  const auto relu = [&](const Variable& x) { return activate(context, x, Activation::relu); };
  const int64_t samples = observation.dim(0), observed = observation.dim(1), steps = samples * observed;
  const Variable tokens(observation.view({steps, observation.dim(2), observation.dim(3)}));

  const Variable m = relu(measurements_2_(context, relu(measurements_0_(context, state))));
  const Variable scores = attention_2_(context, relu(attention_0_(context, m)));
  const Variable found = attend_to_cells(context, scores, resize_, tokens, m);
  const Variable joined = relu(join_4_(context, relu(join_2_(context, relu(join_0_(context, found))))));
  return group_norm(context, joined, *norm_weight_, *norm_bias_, norm_groups)
      .view({samples, observed, condition_width});
}

}  // namespace bev
