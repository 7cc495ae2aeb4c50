#include "tools/common/fit_to_dataset.h"

#include <algorithm>

namespace bev {

namespace {

class Fit {
 public:
  Fit(ConfiguredRun& run, const Dataset& dataset) : run_(run), dataset_(dataset) {}

  void size(const char* key, int64_t& value, int64_t found, const char* what) {
    if (run_.settings.given(key) && value != found) {
      fail(ErrorKind::data, "{} is {}, but {} has {} {}", key, value, dataset_.directory(), found, what);
    }
    value = found;
  }

  const FieldSpec& field(const char* name, int rank, const char* advice) const {
    for (const FieldSpec& spec : dataset_.fields()) {
      if (spec.name != name) continue;
      if (spec.shape.rank() != rank) {
        fail(ErrorKind::data, "{}: field {} has shape {}: expected {} dimensions", dataset_.directory(), name,
             spec.shape.text(), rank);
      }
      return spec;
    }
    fail(ErrorKind::data, "{} has no field {}: {}", dataset_.directory(), name, advice);
  }

  const FieldStatistics& statistics(const char* name) const {
    const auto& all = dataset_.info().statistics;
    const auto found = all.find(name);
    if (found == all.end())
      fail(ErrorKind::data, "{}: dataset.json has no statistics of {}", dataset_.directory(), name);
    return found->second;
  }

 private:
  ConfiguredRun& run_;
  const Dataset& dataset_;
};

void fit_tokens(Fit& fit, PolicyConfig& p) {
  if (p.use_vl) {
    const Shape& vl = fit.field("gen_vit_tokens", 2, "set policy.use_vl to false to train without").shape;
    p.vl_tokens = vl[0];
    fit.size("policy.vlm_dim", p.vlm_dim, vl[1], "values a vision-language token");
  }
  if (p.use_reasoning) {
    const Shape& reasoning =
        fit.field("reasoning_query_tokens", 2, "set policy.use_reasoning to false to train without").shape;
    p.reasoning_tokens = reasoning[0];
    fit.size("policy.vlm_dim", p.vlm_dim, reasoning[1], "values a reasoning token");
  }
}

void fit_bev(Fit& fit, PolicyConfig& p) {
  if (p.mode == BevMode::tokens) {
    p.cells = fit.field("lidar_token", 3, "set bev_encoder.mode to raster to train from rasters").shape[1];
    return;
  }
  const Shape& raster =
      fit.field("lidar_bev", 4, "set bev_encoder.mode to tokens to train from precomputed tokens").shape;
  for (const int side : {0, 1}) {
    fit.size("bev_encoder.bev_input_size", p.bev_input_size[static_cast<size_t>(side)], raster[2 + side],
             "pixels a side of its rasters");
  }
  p.cells = p.grid_cells();
}

}  // namespace

void fit_to_dataset(ConfiguredRun& run, const Dataset& dataset) {
  RunConfig& config = run.config;
  PolicyConfig& p = config.policy;
  Fit fit(run, dataset);
  const Shape& states = fit.field("ego_status", 2, "it is part of every data set").shape;
  fit.size("policy.n_obs_steps", p.observed, states[0], "observed steps");
  fit.size("bev_encoder.state_dim", p.state_dim, states[1], "values of the state");
  fit.size("policy.horizon", p.horizon, fit.field("agent_pos", 2, "it is part of every data set").shape[0],
           "future waypoints");
  fit_tokens(fit, p);
  fit_bev(fit, p);
  if (p.normalize_actions && !config.action_range_given) {
    const FieldStatistics& actions = fit.statistics("agent_pos");
    std::copy_n(actions.min.begin(), 2, p.action_min.begin());
    std::copy_n(actions.max.begin(), 2, p.action_max.begin());
  }
  if (p.normalize_state) {
    p.state_mean = fit.statistics("ego_status").mean;
    p.state_deviation = fit.statistics("ego_status").deviation;
  }
}

std::vector<double> mean_trajectory(const Dataset& dataset) {
  std::vector<double> mean;
  for (int64_t sample = 0; sample < dataset.size(); ++sample) {
    const Tensor trajectory = dataset.row(Table::samples, sample, "agent_pos");
    const float* values = trajectory.data<float>();
    mean.resize(static_cast<size_t>(trajectory.size()));
    for (size_t i = 0; i < mean.size(); ++i) mean[i] += values[i];
  }
  for (double& value : mean) value /= static_cast<double>(dataset.size());
  return mean;
}

}  // namespace bev
